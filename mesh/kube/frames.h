#pragma once
// What an API server's answers are made of: lines of a watch, pages of a list, and Status objects.
// Pure; bytes in, values out.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/manifest/yaml.h"

namespace mesh::kube {

// One object is at most 1.5 MiB in etcd by default; JSON may escape every byte of it.
inline constexpr std::size_t kMaxLineBytes = 16u << 20;
inline constexpr std::size_t kMaxPageBytes = 64u << 20;

// Cuts a stream into lines as its pieces come. A line that is whole within one piece is not copied.
class LineSplitter {
 public:
  // Calls `line` for each line that `bytes` ends. False: `line` said so (the rest is dropped).
  // Errors: kTooLarge: a line over the limit; the splitter is of no use then.
  Result<bool> feed(std::string_view bytes, const std::function<bool(std::string_view)>& line);

  // Bytes of a line that has not ended.
  std::size_t pending() const { return pending_.size(); }
  void reset() { pending_.clear(); }

 private:
  std::string pending_;
};

// A failure as the API server describes it (a Status object), or what stands for one.
struct Status {
  int code = 0;        // an HTTP status
  std::string reason;  // "Expired", "Forbidden", …
  std::string message;
  std::optional<std::uint32_t> retry_after_seconds;
};

// The Status in the body of a refusal; its text as it is when it is something else.
Status read_status(int http_status, std::string_view body);

struct WatchFrame {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };

  Type type = Type::kError;
  manifest::Value object;  // of the first three
  std::string resource_version;
  bool initial_events_end = false;  // of a bookmark: the list that began the stream is over
  Status status;                    // of an error
};

// What is wrong with the line.
std::expected<WatchFrame, std::string> read_watch_frame(std::string_view line);

struct ListPage {
  std::string resource_version;
  std::string next;  // the token for the next page; empty: there is none
};

std::expected<ListPage, std::string> read_list_page(
    std::string_view body, const std::function<void(manifest::Value&&)>& item);

// metadata.FIELD of an object; "" when it is not there.
std::string metadata_text(const manifest::Value& object, std::string_view field);

// A resourceVersion as the number it is; 0 when it is none.
std::uint64_t version_number(std::string_view resource_version);

}  // namespace mesh::kube
