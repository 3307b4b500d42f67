#include "mesh/kube/frames.h"

#include <charconv>
#include <utility>

#include "mesh/manifest/json.h"

namespace mesh::kube {
namespace {

using manifest::Value;

constexpr std::size_t kMaxText = 1024;  // of a message that goes to logs

std::string text_of(const Value* value) {
  if (value == nullptr || value->type != Value::Type::kScalar) return {};
  return value->text;
}

std::optional<std::uint32_t> number_of(const Value* value) {
  const std::string text = text_of(value);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || text.empty() || end != text.data() + text.size()) return {};
  return number;
}

Status status_of(int code, const Value& value) {
  Status status;
  status.code = code;
  if (const auto own = number_of(member(&value, "code"))) status.code = static_cast<int>(*own);
  status.reason = text_of(member(&value, "reason")).substr(0, kMaxText);
  status.message = text_of(member(&value, "message")).substr(0, kMaxText);
  status.retry_after_seconds = number_of(member(member(&value, "details"), "retryAfterSeconds"));
  return status;
}

std::optional<WatchFrame::Type> type_of(std::string_view text) {
  if (text == "ADDED") return WatchFrame::Type::kAdded;
  if (text == "MODIFIED") return WatchFrame::Type::kModified;
  if (text == "DELETED") return WatchFrame::Type::kDeleted;
  if (text == "BOOKMARK") return WatchFrame::Type::kBookmark;
  if (text == "ERROR") return WatchFrame::Type::kError;
  return {};
}

}  // namespace

Result<bool> LineSplitter::feed(std::string_view bytes,
                                const std::function<bool(std::string_view)>& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::size_t length = end == std::string_view::npos ? bytes.size() : end;
    if (pending_.size() + length > kMaxLineBytes) {
      return failed(Reason::kTooLarge, "a line of a watch over 16 MiB");
    }
    if (end == std::string_view::npos) {
      pending_.append(bytes);
      return true;
    }
    bool more = true;
    if (pending_.empty()) {
      more = end == 0 || line(bytes.substr(0, end));
    } else {
      pending_.append(bytes.substr(0, end));
      const std::string whole = std::exchange(pending_, {});
      more = line(whole);
    }
    if (!more) return false;
    bytes.remove_prefix(end + 1);
  }
  return true;
}

Status read_status(int http_status, std::string_view body) {
  const auto value = manifest::read_json(body);
  if (value && text_of(member(&*value, "kind")) == "Status") {
    Status status = status_of(http_status, *value);
    status.code = http_status;
    return status;
  }
  Status status;
  status.code = http_status;
  for (const char c : body.substr(0, kMaxText)) {
    status.message += c >= ' ' && c <= '~' ? c : ' ';
  }
  return status;
}

std::expected<WatchFrame, std::string> read_watch_frame(std::string_view line) {
  auto value = manifest::read_json(line);
  if (!value) return std::unexpected(std::move(value.error()));
  const Value* type_value = member(&*value, "type");
  const auto type = type_of(text_of(type_value));
  if (!type) return std::unexpected("a watch event without a type");
  const Value* object = member(&*value, "object");
  if (object == nullptr || object->type != Value::Type::kMap) {
    return std::unexpected("a watch event without an object");
  }
  WatchFrame frame;
  frame.type = *type;
  if (*type == WatchFrame::Type::kError) {
    frame.status = status_of(500, *object);
    return frame;
  }
  frame.resource_version = metadata_text(*object, "resourceVersion");
  if (frame.resource_version.empty()) {
    return std::unexpected("a watch event without a resourceVersion");
  }
  if (*type == WatchFrame::Type::kBookmark) {
    const Value* annotations = member(member(object, "metadata"), "annotations");
    frame.initial_events_end = text_of(member(annotations, "k8s.io/initial-events-end")) == "true";
    return frame;
  }
  frame.object = std::move(value->items[static_cast<std::size_t>(object - value->items.data())]);
  return frame;
}

std::expected<ListPage, std::string> read_list_page(std::string_view body,
                                                    const std::function<void(Value&&)>& item) {
  const auto list = manifest::read_json_list(body, item);
  if (!list) return std::unexpected(list.error());
  const Value* items = member(&*list, "items");
  const bool is_list = items != nullptr && (items->is_null() || items->type == Value::Type::kList);
  if (!is_list) return std::unexpected("not a list of objects");
  ListPage page;
  page.resource_version = metadata_text(*list, "resourceVersion");
  page.next = metadata_text(*list, "continue");
  if (page.resource_version.empty()) return std::unexpected("a list without a resourceVersion");
  return page;
}

std::string metadata_text(const Value& object, std::string_view field) {
  return text_of(member(member(&object, "metadata"), field));
}

std::uint64_t version_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

}  // namespace mesh::kube
