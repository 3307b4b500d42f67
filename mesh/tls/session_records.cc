// A session's records, once the handshake is done: opened, judged, put together.

#include <algorithm>
#include <cstring>
#include <utility>

#include "mesh/tls/session_impl.h"

namespace mesh::tls {
namespace {

constexpr std::size_t kPostHandshakeMessageMax = 64 * 1024;
constexpr unsigned kIdleRecordsMax = 32;
constexpr std::uint8_t kAlertUserCanceled = 90;
// Smaller ones are put together by a copy: two slices of them cost more than that.
constexpr std::size_t kOpenAcrossMin = 4096;

std::size_t length_of(std::span<const std::byte> header) {
  return std::size_t{at(header, 3)} << 8 | at(header, 4);
}

}  // namespace

Result<Done> SessionImpl::read_records(const Slice& wire, Session::Next next,
                                       std::vector<Slice>& plaintext) {
  std::span<std::byte> rest = wire.bytes();
  if (!held.empty()) TRY_DO(read_across(wire, rest, plaintext));
  while (!rest.empty()) {
    // After close_notify whatever comes is ignored (RFC 8446 6.1).
    if (state == Session::State::kPeerClosed) return Done{};
    if (header_size == 0 && rest.size() >= kRecordHeader) {
      const std::size_t length = length_of(rest);
      if (rest.size() >= kRecordHeader + length && length <= kRecordCiphertextMax) {
        const std::span<std::byte> record = rest.first(kRecordHeader + length);
        rest = rest.subspan(record.size());
        TRY_DO(read_record(record, wire, plaintext));
        continue;
      }
      if (next == Session::Next::kFollows && hold(wire, rest)) return Done{};
    }
    TRY_DO(collect(rest, plaintext));
  }
  return Done{};
}

// A large record that lies across two reads is opened where it lies. Its beginning is kept by
// reference only when the caller has the next read in hand, so that nobody who sends half a record
// and no more holds a buffer of the ring.
bool SessionImpl::hold(const Slice& wire, std::span<std::byte> rest) {
  const std::size_t length = length_of(rest);
  if (length < kOpenAcrossMin || length > kRecordCiphertextMax) return false;
  held = wire.part(rest);
  return true;
}

Result<Done> SessionImpl::read_across(const Slice& wire, std::span<std::byte>& rest,
                                      std::vector<Slice>& plaintext) {
  const Slice first = std::exchange(held, {});
  const std::span<std::byte> begin = first.bytes();
  const std::size_t missing = kRecordHeader + length_of(begin) - begin.size();
  if (rest.size() < missing) {
    std::span<std::byte> whole = begin;
    while (!whole.empty()) TRY_DO(collect(whole, plaintext));
    return Done{};
  }
  const std::span<std::byte> end = rest.first(missing);
  rest = rest.subspan(missing);
  TRY_DO(check_outside(begin));
  const Result<OpenedAcross> opened = read.open(begin, end);
  if (!opened) {
    return fail_with_alert(SSL_AD_BAD_RECORD_MAC, Reason::kProtocol, opened.error().during);
  }
  const std::size_t size = opened->first.size() + opened->second.size();
  if (opened->type == ContentType::kApplicationData && size > 0 && message.empty()) {
    idle_records = 0;
    if (!opened->first.empty()) plaintext.push_back(first.part(opened->first));
    if (!opened->second.empty()) plaintext.push_back(wire.part(opened->second));
    return Done{};
  }
  std::vector<std::byte> content(opened->first.begin(), opened->first.end());
  content.insert(content.end(), opened->second.begin(), opened->second.end());
  return read_control(opened->type, content);
}

// A record that spans two reads: gathered in memory of its own.
Result<Done> SessionImpl::collect(std::span<std::byte>& rest, std::vector<Slice>& plaintext) {
  if (!part) {
    const std::size_t count = std::min(rest.size(), kRecordHeader - header_size);
    std::memcpy(header.data() + header_size, rest.data(), count);
    header_size += count;
    rest = rest.subspan(count);
    if (header_size < kRecordHeader) return Done{};
    const std::size_t length = length_of(header);
    if (length > kRecordCiphertextMax) {
      return fail_with_alert(SSL_AD_RECORD_OVERFLOW, Reason::kProtocol, "tls record too long");
    }
    part_needed = kRecordHeader + length;
    part = std::make_shared_for_overwrite<std::byte[]>(part_needed);
    std::memcpy(part.get(), header.data(), kRecordHeader);
    part_size = kRecordHeader;
  }
  const std::size_t count = std::min(rest.size(), part_needed - part_size);
  if (count > 0) std::memcpy(part.get() + part_size, rest.data(), count);
  part_size += count;
  rest = rest.subspan(count);
  if (part_size < part_needed) return Done{};

  const std::span<std::byte> record(part.get(), part_needed);
  std::byte* const begin = part.get();
  const Slice owner(std::shared_ptr<void>(std::move(part), begin), record);
  part.reset();
  header_size = 0;
  return read_record(record, owner, plaintext);
}

Result<Done> SessionImpl::count_idle() {
  if (++idle_records <= kIdleRecordsMax) return Done{};
  return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kFlood, "tls records without data");
}

// What can be said of a record before it is opened.
Result<Done> SessionImpl::check_outside(std::span<const std::byte> record) {
  if (at(record, 0) == static_cast<std::uint8_t>(ContentType::kApplicationData)) return Done{};
  return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls record unprotected");
}

Result<Done> SessionImpl::read_record(std::span<std::byte> record, const Slice& owner,
                                      std::vector<Slice>& plaintext) {
  TRY_DO(check_outside(record));
  Result<OpenedRecord> opened = read.open(record);
  if (!opened) {
    return fail_with_alert(SSL_AD_BAD_RECORD_MAC, Reason::kProtocol, opened.error().during);
  }
  if (opened->type == ContentType::kApplicationData && !opened->content.empty() &&
      message.empty()) {
    idle_records = 0;
    plaintext.push_back(owner.part(opened->content));
    return Done{};
  }
  return read_control(opened->type, opened->content);
}

// Whatever is no data, or must not be there.
Result<Done> SessionImpl::read_control(ContentType type, std::span<const std::byte> content) {
  if (!message.empty() && type != ContentType::kHandshake) {
    return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls message interrupted");
  }
  switch (type) {
    case ContentType::kApplicationData:
      return count_idle();
    case ContentType::kAlert:
      return read_alert(content);
    case ContentType::kHandshake:
      return read_handshake(content);
    default:
      return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls content type");
  }
}

Result<Done> SessionImpl::read_alert(std::span<const std::byte> content) {
  if (content.size() != 2) {
    return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kProtocol, "tls alert");
  }
  const std::uint8_t alert = at(content, 1);
  if (alert == SSL_AD_CLOSE_NOTIFY) {
    state = Session::State::kPeerClosed;
    return Done{};
  }
  if (alert == kAlertUserCanceled && at(content, 0) == kLevelWarning) return count_idle();
  if (refuses_certificate(alert)) {
    return fail({.reason = Reason::kTlsHandshake, .during = "the peer refused our certificate"});
  }
  return fail({.reason = Reason::kPeerReset, .during = "tls alert from the peer"});
}

Result<Done> SessionImpl::read_handshake(std::span<const std::byte> content) {
  if (content.empty()) {
    return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "empty tls message");
  }
  if (message.size() + content.size() > kPostHandshakeMessageMax) {
    return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kTooLarge, "tls message");
  }
  message.insert(message.end(), content.begin(), content.end());
  while (message.size() >= 4) {
    const std::size_t length =
        std::size_t{at(message, 1)} << 16 | std::size_t{at(message, 2)} << 8 | at(message, 3);
    if (length > kPostHandshakeMessageMax - 4) {
      return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kTooLarge, "tls message");
    }
    if (message.size() < 4 + length) return Done{};
    const std::uint8_t type = at(message, 0);
    const bool last = message.size() == 4 + length;
    if (type == kMessageKeyUpdate) {
      // Keys change at the border of a record.
      if (length != 1 || !last || at(message, 4) > 1) {
        return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls key update");
      }
      read.advance();
      if (at(message, 4) == 1 && !close_sent) update_write_keys();
    } else if (type != kMessageNewSessionTicket || context->role() == Role::kServer) {
      return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls message");
    }
    message.erase(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(4 + length));
    TRY_DO(count_idle());
  }
  return Done{};
}

}  // namespace mesh::tls
