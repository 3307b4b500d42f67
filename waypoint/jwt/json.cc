#include "waypoint/jwt/json.h"

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mesh/base/utf8.h"

namespace mesh::waypoint::jwt {

namespace {

using http::Value;

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Value root;
  bool too_large = false;

  bool null() override { return add(Value{}); }
  bool boolean(bool value) override { return add(Value::of_bool(value)); }
  bool number_integer(number_integer_t value) override {
    return add(Value::of_number(static_cast<double>(value)));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return add(Value::of_number(static_cast<double>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override {
    return add(Value::of_number(value));
  }
  bool string(string_t& value) override { return is_utf8(value) && add(Value::of_text(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Value::Kind::kObject); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Value::Kind::kList); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    if (!is_new(value)) return false;
    keys_.back() = std::move(value);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool add(Value value) {
    if (++count_ > kMaxJsonValues) {
      too_large = true;
      return false;
    }
    if (open_.empty()) {
      root = std::move(value);
    } else if (open_.back().kind == Value::Kind::kList) {
      open_.back().list.push_back(std::move(value));
    } else {
      open_.back().members.emplace_back(keys_.back(), std::move(value));
    }
    return true;
  }
  bool open(Value::Kind kind) {
    if (open_.size() >= static_cast<std::size_t>(kMaxJsonDepth)) {
      too_large = true;
      return false;
    }
    open_.push_back({.kind = kind});
    keys_.emplace_back();
    names_.emplace_back();
    return true;
  }
  bool close() {
    Value whole = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    names_.pop_back();
    return add(std::move(whole));
  }

  // The name is none that the object has. A large object's names are kept in order beside it, so
  // that a stranger's document takes time by its length, not by its square.
  bool is_new(const std::string& name) {
    constexpr std::size_t kFew = 16;
    const auto& members = open_.back().members;
    if (members.size() < kFew) return open_.back().member(name) == nullptr;
    auto& names = names_.back();
    if (names.empty()) {
      for (const auto& [known, value] : members) names.insert(known);
    }
    return names.insert(name).second;
  }

  std::vector<Value> open_;
  std::vector<std::string> keys_;
  std::vector<std::set<std::string, std::less<>>> names_;
  std::size_t count_ = 0;
};

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

Result<Value> parse_json(std::string_view text) {
  Builder builder;
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.root);
  return failed(builder.too_large ? Reason::kTooLarge : Reason::kMalformed, "JSON");
}

Result<std::string> decode_base64url(std::string_view text) {
  if (text.size() % 4 == 1) return failed(Reason::kMalformed, "base64url");
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return failed(Reason::kMalformed, "base64url");
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xff);
    }
  }
  const std::uint32_t behind = bits & ((1u << count) - 1);
  if (behind != 0) return failed(Reason::kMalformed, "base64url");
  return bytes;
}

std::string encode_base64url(std::string_view bytes, bool pad) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < left ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (std::size_t i = 0; i <= left; ++i) text += kAlphabet[group >> (18 - 6 * i) & 63];
    if (pad) text.append(3 - left, '=');
  }
  return text;
}

}  // namespace mesh::waypoint::jwt
