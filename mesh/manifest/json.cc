#include "mesh/manifest/json.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

using nlohmann::json;

struct Open {
  Value value;
  std::unordered_set<std::string> many;  // the keys, once they are too many to look through

  bool is_new(const std::string& key) {
    constexpr std::size_t kFew = 32;
    const auto& keys = value.keys;
    if (keys.size() < kFew) return std::find(keys.begin(), keys.end(), key) == keys.end();
    if (many.empty()) many.insert(keys.begin(), keys.end());
    return many.insert(key).second;
  }
};

// Builds the tree from the parser's events. Returning false stops the parser.
class Builder {
 public:
  explicit Builder(const std::function<void(Value&&)>* item) : item_(item) {}

  bool null() { return add({}); }
  bool boolean(bool value) { return add(scalar(value ? "true" : "false", false)); }
  bool number_integer(json::number_integer_t value) {
    return add(scalar(std::to_string(value), false));
  }
  bool number_unsigned(json::number_unsigned_t value) {
    return add(scalar(std::to_string(value), false));
  }
  bool number_float(json::number_float_t, const std::string& text) {
    return add(scalar(text, false));
  }
  bool string(std::string& text) { return add(scalar(std::move(text), true)); }
  bool binary(json::binary_t&) { return fail("binary"); }
  bool start_object(std::size_t) { return start(Value::Type::kMap); }
  bool start_array(std::size_t) { return start(Value::Type::kList); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(std::string& text) {
    if (skipping_ > 0) return true;
    Open& map = open_.back();
    if (!map.is_new(text)) return fail("the key \"" + text.substr(0, 64) + "\" is given twice");
    map.value.keys.push_back(std::move(text));
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) {
    return fail("not JSON, at byte " + std::to_string(position));
  }

  JsonResult take(bool parsed) {
    if (!error_.empty()) return std::unexpected(std::move(error_));
    if (!parsed) return std::unexpected("not JSON");
    return std::move(root_);
  }

 private:
  static Value scalar(std::string text, bool quoted) {
    Value value;
    value.type = Value::Type::kScalar;
    value.quoted = quoted;
    value.text = std::move(text);
    return value;
  }

  bool fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
  }

  bool start(Value::Type type) {
    if (skipping_ > 0 || is_passed_over()) {
      // Depth is bounded by the length of the text, and nothing is built.
      ++skipping_;
      return true;
    }
    if (open_.size() == kMaxDepth) return fail("nested too deeply");
    open_.emplace_back().value.type = type;
    return true;
  }

  bool end() {
    if (skipping_ > 0) return --skipping_ > 0 || add({});
    Value done = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(done));
  }

  bool add(Value&& value) {
    if (skipping_ > 0) return true;
    if (++values_ > kMaxNodes) return fail("too many values");
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (item_ != nullptr && is_items(open_)) {
      values_ = 0;
      (*item_)(std::move(value));
    } else {
      open_.back().value.items.push_back(std::move(value));
    }
    return true;
  }

  // The list named "items" of the outermost map.
  static bool is_items(const std::vector<Open>& open) {
    return open.size() == 2 && open[1].value.type == Value::Type::kList &&
           last_key(open[0]) == "items";
  }

  static std::string_view last_key(const Open& map) {
    const auto& keys = map.value.keys;
    return keys.empty() ? std::string_view() : std::string_view(keys.back());
  }

  bool is_passed_over() const {
    return open_.size() >= 2 && last_key(open_.back()) == "managedFields" &&
           last_key(open_[open_.size() - 2]) == "metadata";
  }

  const std::function<void(Value&&)>* item_;
  std::vector<Open> open_;
  Value root_;
  std::string error_;
  unsigned values_ = 0;
  std::size_t skipping_ = 0;
};

JsonResult read(std::string_view text, const std::function<void(Value&&)>* item) {
  Builder builder(item);
  const bool parsed = json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take(parsed);
}

}  // namespace

JsonResult read_json(std::string_view text) { return read(text, nullptr); }

JsonResult read_json_list(std::string_view text, const std::function<void(Value&&)>& item) {
  return read(text, &item);
}

}  // namespace mesh::manifest
