#pragma once
// Writing JSON, one value after the other, without building a tree.

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::ztunnel {

//   JsonWriter json;
//   json.object(); json.key("name").text("web"); json.key("ports").array(); … json.end();
//   json.end();
class JsonWriter {
 public:
  JsonWriter& key(std::string_view name);
  void text(std::string_view value);
  void number(std::int64_t value);
  void boolean(bool value);
  void null();
  void object() { open('{'); }
  void array() { open('['); }
  void end();

  // key + value
  void field(std::string_view name, std::string_view value) { key(name).text(value); }
  void field(std::string_view name, const char* value) { key(name).text(value); }
  void field(std::string_view name, std::int64_t value) { key(name).number(value); }
  void field(std::string_view name, bool value) { key(name).boolean(value); }

  std::string take() { return std::move(out_); }

 private:
  void open(char bracket);
  void before_value();
  void new_line();

  std::string out_;
  std::string closers_;  // of what is open
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace mesh::ztunnel
