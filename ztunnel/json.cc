#include "ztunnel/json.h"

#include "mesh/base/check.h"
#include "mesh/telemetry/log.h"

namespace mesh::ztunnel {

void JsonWriter::new_line() {
  out_.push_back('\n');
  out_.append(closers_.size() * 2, ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (closers_.empty()) return;
  if (!first_) out_.push_back(',');
  first_ = false;
  new_line();
}

JsonWriter& JsonWriter::key(std::string_view name) {
  before_value();
  telemetry::append_quoted_json(out_, name);
  out_ += ": ";
  after_key_ = true;
  return *this;
}

void JsonWriter::text(std::string_view value) {
  before_value();
  telemetry::append_quoted_json(out_, value);
}

void JsonWriter::number(std::int64_t value) {
  before_value();
  out_ += std::to_string(value);
}

void JsonWriter::boolean(bool value) {
  before_value();
  out_ += value ? "true" : "false";
}

void JsonWriter::null() {
  before_value();
  out_ += "null";
}

void JsonWriter::open(char bracket) {
  before_value();
  out_.push_back(bracket);
  closers_.push_back(bracket == '{' ? '}' : ']');
  first_ = true;
}

void JsonWriter::end() {
  MESH_CHECK(!closers_.empty());
  const char closer = closers_.back();
  closers_.pop_back();
  if (!first_) new_line();
  out_.push_back(closer);
  first_ = false;
}

}  // namespace mesh::ztunnel
