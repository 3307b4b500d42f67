#include "waypoint/sniff.h"

#include <algorithm>
#include <string_view>

namespace mesh::waypoint {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kMethods[] = {"GET",     "HEAD",  "POST",  "PUT",    "DELETE",
                                         "OPTIONS", "TRACE", "PATCH", "CONNECT"};

// `text` begins with all of `whole`, or is a beginning of it.
enum class Fit : std::uint8_t { kNo, kPart, kWhole };
Fit fit(std::string_view text, std::string_view whole) {
  if (text.starts_with(whole)) return Fit::kWhole;
  return whole.starts_with(text) ? Fit::kPart : Fit::kNo;
}

}  // namespace

Spoken sniff(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  text = text.substr(0, kSniffMax);
  switch (fit(text, kPreface)) {
    case Fit::kWhole:
      return Spoken::kHttp2;
    case Fit::kPart:
      return Spoken::kMore;
    case Fit::kNo:
      break;
  }
  for (const std::string_view method : kMethods) {
    if (fit(text, method) == Fit::kPart && text.size() < method.size()) return Spoken::kMore;
    if (!text.starts_with(method)) continue;
    if (text.size() == method.size()) return Spoken::kMore;
    if (text[method.size()] != ' ') continue;
    if (text.size() == method.size() + 1) return Spoken::kMore;
    const char target = text[method.size() + 1];
    const bool is_target = target == '/' || target == '*' || (target >= 'a' && target <= 'z') ||
                           (target >= 'A' && target <= 'Z');
    return is_target ? Spoken::kHttp1 : Spoken::kOther;
  }
  return Spoken::kOther;
}

}  // namespace mesh::waypoint
