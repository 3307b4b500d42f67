#include "mesh/h1/message.h"

#include <algorithm>
#include <charconv>

#include "mesh/h1/fields.h"

namespace mesh::h1 {

std::string_view fault_name(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kSyntax:
      return "syntax";
    case Fault::kFraming:
      return "ambiguous_framing";
    case Fault::kTarget:
      return "bad_target";
    case Fault::kHost:
      return "bad_host";
    case Fault::kTargetTooLong:
      return "target_too_long";
    case Fault::kHeadersTooLarge:
      return "headers_too_large";
    case Fault::kExtensionTooLong:
      return "chunk_extension_too_long";
    case Fault::kVersion:
      return "http_1_0";
    case Fault::kMisdirected:
      return "misdirected";
    case Fault::kTruncated:
      return "truncated";
  }
  return "unknown";
}

int status_of(Fault fault) {
  switch (fault) {
    case Fault::kTargetTooLong:
      return 414;
    case Fault::kHeadersTooLarge:
      return 431;
    case Fault::kVersion:
      return 426;
    case Fault::kMisdirected:
      return 421;
    default:
      return 400;
  }
}

std::string_view reason_phrase(int status) {
  struct Phrase {
    int status;
    std::string_view text;
  };
  static constexpr Phrase kPhrases[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {103, "Early Hints"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {426, "Upgrade Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
  };
  const auto* found = std::ranges::find(kPhrases, status, &Phrase::status);
  return found == std::end(kPhrases) ? "Unknown" : found->text;
}

bool is_hop_by_hop(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" ||
         name == "transfer-encoding" || name == "upgrade" || name == "host" ||
         name == "http2-settings";
}

bool may_trail(std::string_view said) {
  std::string name(said);
  std::ranges::replace(name, '_', '-');
  return !is_hop_by_hop(name) && name != "content-length" && name != "te" && name != "trailer" &&
         name != "authorization" && name != "cookie" && name != "content-encoding" &&
         name != "content-type" && name != "content-range" && name != "expect" &&
         !name.starts_with("x-forwarded-");
}

bool mimics_framing(std::string_view name) {
  return name == "content_length" || name == "transfer_encoding";
}

bool is_sendable(const h2::Headers& headers) {
  constexpr std::string_view kBad("\r\n\0", 3);
  return std::ranges::none_of(headers, [&](const h2::Header& header) {
    return header.name.empty() || header.name.find_first_of("\r\n: \t") != std::string::npos ||
           header.value.find_first_of(kBad) != std::string::npos;
  });
}

namespace {

void append_fields(std::string& out, const h2::Headers& headers) {
  for (const h2::Header& header : headers) {
    out.append(header.name).append(": ").append(header.value).append("\r\n");
  }
}

void append_connection(std::string& out, const HeadOptions& options) {
  if (options.chunked) out.append("transfer-encoding: chunked\r\n");
  if (!options.upgrade.empty()) {
    out.append("connection: upgrade\r\nupgrade: ").append(options.upgrade).append("\r\n");
  } else if (options.close) {
    out.append("connection: close\r\n");
  }
}

}  // namespace

void append_request(std::string& out, std::string_view method, std::string_view target,
                    std::string_view authority, const h2::Headers& headers,
                    const HeadOptions& options) {
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nhost: ");
  out.append(authority).append("\r\n");
  append_fields(out, headers);
  append_connection(out, options);
  out.append("\r\n");
}

void append_response(std::string& out, int status, const h2::Headers& headers,
                     const HeadOptions& options) {
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  out.append(reason_phrase(status)).append("\r\n");
  append_fields(out, headers);
  append_connection(out, options);
  out.append("\r\n");
}

std::string_view chunk_line(std::size_t bytes, char (&into)[24]) {
  char* const end = std::to_chars(into, into + 20, bytes, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  return {into, static_cast<std::size_t>(end + 2 - into)};
}

void append_last_chunk(std::string& out, const h2::Headers& trailers) {
  out.append("0\r\n");
  append_fields(out, trailers);
  out.append("\r\n");
}

}  // namespace mesh::h1
