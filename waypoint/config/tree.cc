#include "waypoint/config/tree.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

namespace mesh::waypoint::config {

namespace {

// Builds a Tree from the parser's events, and stops it at the limits.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::unique_ptr<Tree> root;

  bool null() override { return add(Tree::Kind::kNull) != nullptr; }
  bool boolean(bool value) override {
    Tree* made = add(Tree::Kind::kBool);
    if (made != nullptr) made->boolean = value;
    return made != nullptr;
  }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& written) override { return number(written); }
  bool string(string_t& value) override {
    Tree* made = add(Tree::Kind::kText);
    if (made != nullptr) made->text = std::move(value);
    return made != nullptr;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Tree::Kind::kObject); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Tree::Kind::kList); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool number(std::string written) {
    Tree* made = add(Tree::Kind::kNumber);
    if (made != nullptr) made->text = std::move(written);
    return made != nullptr;
  }
  Tree* add(Tree::Kind kind) {
    if (++nodes_ > Tree::kMaxNodes) return nullptr;
    auto made = std::make_unique<Tree>();
    made->kind = kind;
    Tree* const raw = made.get();
    if (open_.empty()) {
      root = std::move(made);
      return raw;
    }
    Tree* const parent = open_.back();
    raw->parent = parent;
    raw->label = parent->kind == Tree::Kind::kList ? std::to_string(parent->children.size())
                                                   : std::move(key_);
    parent->children.push_back(std::move(made));
    return raw;
  }
  bool open(Tree::Kind kind) {
    Tree* made = add(kind);
    if (made == nullptr || open_.size() >= Tree::kMaxDepth) return false;
    open_.push_back(made);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<Tree*> open_;
  std::string key_;
  std::size_t nodes_ = 0;
};

template <class T>
std::optional<T> whole_number(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::unique_ptr<Tree> Tree::parse(std::string_view json) {
  Builder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) return nullptr;
  return std::move(builder.root);
}

const Tree* Tree::peek(std::string_view name) const {
  if (kind != Kind::kObject) return nullptr;
  for (const auto& child : children) {
    if (child->label == name) return child.get();
  }
  return nullptr;
}

const Tree* Tree::find(std::string_view name) const {
  const Tree* found = peek(name);
  if (found != nullptr) found->read = true;
  return found;
}

bool Tree::has(std::string_view name) const { return peek(name) != nullptr; }

std::string Tree::path() const {
  if (parent == nullptr) return {};
  const std::string before = parent->path();
  if (parent->kind == Kind::kList) return before + "[" + label + "]";
  // Names of fields are plain; keys of maps may be anything.
  const bool plain = std::ranges::all_of(label, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '@';
  });
  if (!plain) return before + "[\"" + label + "\"]";
  return before.empty() ? label : before + "." + label;
}

std::string_view Tree::any_type() const {
  const Tree* type = find("@type");
  if (type == nullptr || type->kind != Kind::kText) return {};
  const std::string_view url = type->text;
  return url.substr(url.rfind('/') + 1);
}

void Input::refuse(const Tree& at, std::string_view what) {
  if (!problem_.empty()) return;
  const std::string path = at.path();
  problem_ = path.empty() ? std::string(what) : path + ": " + std::string(what);
}

void Input::note(const Tree& at, std::string_view what) {
  if (notes_.size() < kMaxLeftovers) notes_.push_back(at.path() + ": " + std::string(what));
}

std::string Input::take_problem() { return std::exchange(problem_, {}); }

void Input::overlook(const Tree* at) {
  if (at == nullptr) return;
  at->read = true;
  at->whole = true;
}

void Input::overlook(const Tree& at, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) overlook(at.find(name));
}

std::string Input::text(const Tree& at, std::string_view name, std::size_t limit) {
  const Tree* found = at.find(name);
  if (found == nullptr) return {};
  if (found->kind != Tree::Kind::kText) refuse(*found, "not a text");
  if (found->text.size() > limit) refuse(*found, "longer than " + std::to_string(limit) + " bytes");
  return found->text;
}

bool Input::flag(const Tree& at, std::string_view name, bool otherwise) {
  const Tree* found = at.find(name);
  if (found == nullptr) return otherwise;
  if (found->kind != Tree::Kind::kBool) refuse(*found, "not a bool");
  return found->boolean;
}

// Numbers of 64 bits are texts in canonical JSON.
std::optional<std::string> Input::scalar(const Tree& at, std::string_view name) {
  const Tree* found = at.find(name);
  if (found == nullptr) return std::nullopt;
  if (found->kind != Tree::Kind::kNumber && found->kind != Tree::Kind::kText) {
    refuse(*found, "not a number");
    return std::nullopt;
  }
  return found->text;
}

std::uint64_t Input::number(const Tree& at, std::string_view name, std::uint64_t otherwise,
                            std::uint64_t most) {
  const auto written = scalar(at, name);
  if (!written) return otherwise;
  const auto value = whole_number<std::uint64_t>(*written);
  if (value && *value <= most) return *value;
  refuse(*at.find(name), "not a number from 0 to " + std::to_string(most));
  return otherwise;
}

std::int64_t Input::signed_number(const Tree& at, std::string_view name) {
  const auto written = scalar(at, name);
  if (!written) return 0;
  const auto value = whole_number<std::int64_t>(*written);
  if (!value) refuse(*at.find(name), "not a whole number");
  return value.value_or(0);
}

double Input::real(const Tree& at, std::string_view name, double otherwise) {
  const auto written = scalar(at, name);
  if (!written) return otherwise;
  double value = 0;
  const auto [end, error] =
      std::from_chars(written->data(), written->data() + written->size(), value);
  if (error == std::errc() && end == written->data() + written->size() && std::isfinite(value)) {
    return value;
  }
  refuse(*at.find(name), "not a number");
  return otherwise;
}

std::optional<std::chrono::milliseconds> Input::duration(const Tree& at, std::string_view name) {
  const Tree* found = at.find(name);
  if (found == nullptr) return std::nullopt;
  // A hundred years is for ever, and does not overflow.
  constexpr double kMost = 100.0 * 366 * 86'400;
  double seconds = 0;
  const std::string_view written = found->text;
  const char* const last = written.data() + (written.empty() ? 0 : written.size() - 1);
  const auto [end, error] = std::from_chars(written.data(), last, seconds);
  if (found->kind != Tree::Kind::kText || !written.ends_with('s') || error != std::errc() ||
      end != last || seconds < 0 || !(seconds <= kMost)) {
    refuse(*found, "not a duration from 0 to a hundred years");
    return std::nullopt;
  }
  // A part of a millisecond is one: less is not "none".
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

std::chrono::milliseconds Input::duration(const Tree& at, std::string_view name,
                                          std::chrono::milliseconds otherwise) {
  return duration(at, name).value_or(otherwise);
}

const Tree* Input::object(const Tree& at, std::string_view name) {
  const Tree* found = at.find(name);
  if (found == nullptr) return nullptr;
  if (found->kind == Tree::Kind::kObject) return found;
  refuse(*found, "not a message");
  return nullptr;
}

std::vector<const Tree*> Input::list(const Tree& at, std::string_view name) {
  std::vector<const Tree*> elements;
  const Tree* found = at.find(name);
  if (found == nullptr) return elements;
  if (found->kind != Tree::Kind::kList) refuse(*found, "not a list");
  for (const auto& child : found->children) {
    child->read = true;
    elements.push_back(child.get());
  }
  return elements;
}

std::vector<std::string> Input::texts(const Tree& at, std::string_view name) {
  std::vector<std::string> made;
  for (const Tree* element : list(at, name)) {
    if (element->kind != Tree::Kind::kText) refuse(*element, "not a text");
    made.push_back(element->text);
  }
  return made;
}

std::vector<const Tree*> Input::map(const Tree& at, std::string_view name) {
  std::vector<const Tree*> entries;
  const Tree* found = object(at, name);
  if (found == nullptr) return entries;
  for (const auto& child : found->children) {
    child->read = true;
    entries.push_back(child.get());
  }
  return entries;
}

std::string_view Input::one_of(const Tree& at, std::initializer_list<std::string_view> names) {
  std::string_view there;
  for (const std::string_view name : names) {
    if (!at.has(name)) continue;
    if (!there.empty()) refuse(at, "both " + std::string(there) + " and " + std::string(name));
    there = name;
  }
  return there;
}

std::size_t Input::choice(const Tree& at, std::string_view name,
                          std::initializer_list<std::string_view> names) {
  const Tree* found = at.find(name);
  if (found == nullptr) return 0;
  const auto match = std::ranges::find(names, std::string_view(found->text));
  if (match != names.end()) return static_cast<std::size_t>(match - names.begin());
  refuse(*found, "the value " + found->text + " is not known");
  return 0;
}

std::vector<NotHonoured> Input::leftovers(const Tree& root, std::string_view resource) {
  std::vector<NotHonoured> found;
  for (std::string& note : notes_) {
    found.push_back({.resource = std::string(resource), .path = std::move(note)});
  }
  notes_.clear();
  walk(root, false, resource, found);
  return found;
}

void Input::settle(const Tree& part) {
  std::vector<NotHonoured> found;
  walk(part, part.secure, {}, found);
  for (NotHonoured& one : found) {
    if (notes_.size() < kMaxLeftovers) notes_.push_back(std::move(one.path));
  }
  part.whole = true;
}

void Input::walk(const Tree& at, bool secure, std::string_view resource,
                 std::vector<NotHonoured>& found) {
  if (at.whole) return;
  secure = secure || at.secure;
  for (const auto& child : at.children) {
    if (child->read || child->label == "@type") {
      walk(*child, secure, resource, found);
    } else if (secure) {
      refuse(*child, "not supported");
    } else if (found.size() < kMaxLeftovers) {
      found.push_back({.resource = std::string(resource), .path = child->path()});
    }
  }
}

}  // namespace mesh::waypoint::config
