#include "mesh/manifest/yaml.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_set>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "mesh/base/utf8.h"
#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

bool plain_null(const std::string& text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

unsigned count(const Value& value) {
  unsigned total = 1;
  for (const Value& item : value.items) total += count(item);
  return total;
}

// Builds one document after the other. After an error the rest of the events is ignored: the
// library offers no way to stop but an exception.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlFile& file) : file_(&file) {}

  bool failed() const { return failed_; }

  void OnDocumentStart(const YAML::Mark&) override {
    open_.clear();
    anchors_.clear();
    root_.reset();
  }
  void OnDocumentEnd() override {
    if (failed() || !root_ || root_->is_null()) return root_.reset();
    if (file_->documents.size() == kMaxDocuments) return fail(root_->line, "too many documents");
    file_->documents.push_back(std::move(*root_));
    root_.reset();
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Value value;
    value.line = line(mark);
    add(std::move(value), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (failed()) return;
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) return fail(line(mark), "an alias of something that is not over");
    nodes_ += count(known->second) - 1;  // add() counts one
    add(known->second, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (!is_utf8(text)) return fail(line(mark), "text that is not UTF-8");
    Value value;
    value.line = line(mark);
    value.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (value.quoted || !plain_null(text)) {
      value.type = Value::Type::kScalar;
      value.text = text;
    }
    add(std::move(value), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, anchor, Value::Type::kList);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(mark, anchor, Value::Type::kMap);
  }
  void OnMapEnd() override { end(); }

  void fail(unsigned line, std::string message) {
    if (file_->errors.empty()) file_->errors.push_back({line, std::move(message)});
    failed_ = true;
  }

  // Goes on after an error, with the next document: of the one that failed, what there is of it is
  // taken, but no object whose metadata is not over. False: no more, a limit was reached.
  bool recover() {
    failed_ = false;
    while (!open_.empty()) {
      const Open done = std::move(open_.back());
      open_.pop_back();
      const Open* parent = open_.empty() ? nullptr : &open_.back();
      const bool is_wanted = parent == nullptr || parent->value.type == Value::Type::kList ||
                             (parent->key && parent->key != "metadata");
      const auto& keys = done.value.keys;
      const bool is_cut =
          done.key ? done.key == "metadata" : !keys.empty() && keys.back() == "metadata";
      if (is_wanted && !is_cut) add(done.value, 0);
    }
    OnDocumentEnd();
    anchors_.clear();
    return !failed();
  }

  unsigned line(const YAML::Mark& mark) const {
    return first_line_ + static_cast<unsigned>(mark.line);
  }
  // Of what is read next.
  void set_first_line(unsigned line) { first_line_ = line; }

 private:
  struct Open {
    Value value;
    YAML::anchor_t anchor = 0;
    std::optional<std::string> key;  // a map's key that waits for its value
    std::unordered_set<std::string> keys;
  };

  void start(const YAML::Mark& mark, YAML::anchor_t anchor, Value::Type type) {
    if (failed()) return;
    if (open_.size() == kMaxDepth) return fail(line(mark), "nested too deeply");
    Open open;
    open.value.type = type;
    open.value.line = line(mark);
    open.anchor = anchor;
    open_.push_back(std::move(open));
  }

  void end() {
    if (failed()) return;
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.value), done.anchor);
  }

  void add(Value value, YAML::anchor_t anchor) {
    if (failed()) return;
    if (++nodes_ > kMaxNodes) return fail(value.line, "too many values");
    if (anchor != 0) {
      nodes_ += count(value);  // the copy below
      anchors_[anchor] = value;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.value.type == Value::Type::kList) {
      parent.value.items.push_back(std::move(value));
    } else if (parent.key) {
      parent.value.keys.push_back(*std::move(parent.key));
      parent.value.items.push_back(std::move(value));
      parent.key.reset();
    } else {
      add_key(parent, std::move(value));
    }
  }

  void add_key(Open& parent, Value key) {
    if (key.type != Value::Type::kScalar) return fail(key.line, "a key must be text");
    if (key.text == "<<" && !key.quoted) return fail(key.line, "merge keys are not supported");
    if (!parent.keys.insert(key.text).second) {
      return fail(key.line, "the key \"" + key.text.substr(0, 64) + "\" is given twice");
    }
    parent.key = std::move(key.text);
  }

  YamlFile* file_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Value> anchors_;
  std::optional<Value> root_;
  unsigned nodes_ = 0;
  bool failed_ = false;
  unsigned first_line_ = 1;
};

// Documents begin where a line is "---", or begins with that and a blank.
bool is_separator(std::string_view text, std::size_t at) {
  return text.substr(at).starts_with("---") &&
         (at + 3 == text.size() || std::string_view(" \t\r\n").contains(text[at + 3]));
}

// The documents of a text, each with its separator.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size() && parts.size() < kMaxDocuments;) {
    at = text.find('\n', at);
    at = at == std::string_view::npos ? text.size() : at + 1;
    if (at < text.size() && !is_separator(text, at)) continue;
    parts.push_back(text.substr(start, at - start));
    start = at;
  }
  return parts;
}

// yaml-cpp reports errors by exception; they end here.
void read_into(TreeBuilder& builder, std::string_view text) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (!builder.failed() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    builder.fail(error.mark.is_null() ? 0 : builder.line(error.mark), error.msg);
  } catch (const std::exception&) {
    builder.fail(0, "not YAML");
  }
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

const Value* member(const Value* map, std::string_view key) {
  return map == nullptr || map->type != Value::Type::kMap ? nullptr : map->find(key);
}

YamlFile read_yaml(std::string_view text) {
  YamlFile file;
  TreeBuilder builder(file);
  if (text.size() > kMaxFileBytes) {
    builder.fail(0, "larger than 4 MiB");
    return file;
  }
  if (text.find('\0') != std::string_view::npos) {
    builder.fail(0, "holds a NUL byte: not a text file");
    return file;
  }
  read_into(builder, text);
  if (!builder.failed()) return file;
  file.documents.clear();
  TreeBuilder guess(file);
  std::ptrdiff_t line = 1;
  for (const std::string_view document : split(text)) {
    guess.set_first_line(static_cast<unsigned>(line));
    read_into(guess, document);
    if (guess.failed() && !guess.recover()) break;
    line += std::ranges::count(document, '\n');
  }
  return file;
}

}  // namespace mesh::manifest
