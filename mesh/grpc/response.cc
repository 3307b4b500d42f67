#include "mesh/grpc/response.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::grpc {
namespace {

std::string_view header(std::span<const HeaderView> headers, std::string_view name) {
  const auto found = std::ranges::find(headers, name, &HeaderView::name);
  return found == headers.end() ? std::string_view() : found->value;
}

// "application/grpc", "application/grpc+proto", "application/grpc; charset": not
// "application/grpc-web".
bool is_grpc_content(std::string_view type) {
  constexpr std::string_view kType = "application/grpc";
  if (!type.starts_with(kType)) return false;
  type.remove_prefix(kType.size());
  return type.empty() || type.front() == '+' || type.front() == ';';
}

}  // namespace

void ResponseReader::on_headers(std::span<const HeaderView> headers, bool end) {
  if (ended()) return;
  if (got_headers_) {
    trailers_ = status_of_trailers(headers, http_status_);
  } else {
    got_headers_ = true;
    const std::string_view status = header(headers, ":status");
    std::from_chars(status.data(), status.data() + status.size(), http_status_);
    is_grpc_ = http_status_ == 200 && is_grpc_content(header(headers, "content-type"));
    if (end) {
      // "Trailers-Only": the one block is both.
      trailers_ = status_of_trailers(headers, http_status_);
    } else if (!is_grpc_) {
      const StatusCode code =
          http_status_ == 200 ? StatusCode::kUnknown : status_of_http(http_status_);
      end_with({code, "not a gRPC response: http status " + std::to_string(http_status_)});
    } else if (const std::string_view encoding = header(headers, "grpc-encoding");
               !encoding.empty() && encoding != "identity") {
      end_with({StatusCode::kInternal, "a compressed response, which we do not accept"});
    }
  }
  if (end) on_end();
}

Result<std::optional<std::string>> ResponseReader::feed(std::span<const std::byte>& bytes) {
  if (ended()) {
    bytes = {};
    return std::nullopt;
  }
  auto message = frames_.feed(bytes);
  if (!message) {
    const bool too_large = message.error().reason == Reason::kTooLarge;
    end_with({too_large ? StatusCode::kResourceExhausted : StatusCode::kInternal,
              too_large ? "a message beyond our limit" : "a compressed message"});
  }
  return message;
}

void ResponseReader::on_end() {
  if (ended()) return;
  Status status =
      trailers_.value_or(Status{StatusCode::kInternal, "the response ended without trailers"});
  if (status.ok() && !frames_.at_boundary()) {
    status = {StatusCode::kInternal, "the response ended inside a message"};
  }
  end_with(std::move(status));
}

void ResponseReader::on_reset(std::uint32_t h2_error_code) {
  // A server may answer in full and then reset what we still send.
  if (!ended() && trailers_) return on_end();
  end_with(status_of_reset(h2_error_code));
}

void ResponseReader::on_lost(const Error& error) {
  end_with({StatusCode::kUnavailable,
            std::string(reason_name(error.reason)) + " during " + error.during});
}

void ResponseReader::end_with(Status status) {
  if (!status_) status_ = std::move(status);
}

}  // namespace mesh::grpc
