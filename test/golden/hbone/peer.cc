#include "test/golden/hbone/peer.h"

#include <array>
#include <cstring>

#include "mesh/io/timer.h"

namespace mesh::golden {
namespace {

constexpr std::uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoaway = 7,
                       kWindow = 8, kContinuation = 9;
constexpr long kOurWindow = 256 * 1024;
constexpr std::array<const char*, 14> kErrors = {"NO_ERROR",
                                                 "PROTOCOL_ERROR",
                                                 "INTERNAL_ERROR",
                                                 "FLOW_CONTROL_ERROR",
                                                 "SETTINGS_TIMEOUT",
                                                 "STREAM_CLOSED",
                                                 "FRAME_SIZE_ERROR",
                                                 "REFUSED_STREAM",
                                                 "CANCEL",
                                                 "COMPRESSION_ERROR",
                                                 "CONNECT_ERROR",
                                                 "ENHANCE_YOUR_CALM",
                                                 "INADEQUATE_SECURITY",
                                                 "HTTP_1_1_REQUIRED"};

std::string u32(std::uint64_t number) {
  std::string text;
  for (const int shift : {24, 16, 8, 0}) text.push_back(static_cast<char>(number >> shift));
  return text;
}

std::uint32_t read_u32(std::string_view text) {
  std::uint32_t number = 0;
  for (const char c : text.substr(0, 4)) number = number << 8 | static_cast<std::uint8_t>(c);
  return number;
}

std::uint16_t setting_of(const std::string& name) {
  if (name == "ENABLE_PUSH") return 2;
  if (name == "MAX_CONCURRENT_STREAMS") return 3;
  if (name == "INITIAL_WINDOW_SIZE") return 4;
  if (name == "MAX_FRAME_SIZE") return 5;
  return static_cast<std::uint16_t>(std::stoul(name, nullptr, 16));
}

std::string settings_body(const Line& line) {
  std::string body;
  for (std::size_t i = 1; i < line.words.size(); ++i) {
    const std::size_t equals = line.words[i].find('=');
    const std::uint16_t id = setting_of(line.words[i].substr(0, equals));
    body.push_back(static_cast<char>(id >> 8));
    body.push_back(static_cast<char>(id));
    body += u32(std::stoul(line.words[i].substr(equals + 1)));
  }
  return body;
}

std::string from_hex(const std::string& hex) {
  std::string text;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    text.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return text;
}

}  // namespace

std::string frame(std::uint8_t type, std::uint8_t flags, int stream, std::string_view body) {
  std::string text = u32(body.size()).substr(1);
  text.push_back(static_cast<char>(type));
  text.push_back(static_cast<char>(flags));
  text += u32(static_cast<std::uint64_t>(stream));
  return text.append(body);
}

std::uint32_t error_code_of(const std::string& name) {
  for (std::size_t i = 0; i < kErrors.size(); ++i) {
    if (name == kErrors[i]) return static_cast<std::uint32_t>(i);
  }
  MESH_CHECK(false);
  return 0;
}

const char* error_name_of(std::uint32_t code) {
  return code < kErrors.size() ? kErrors[code] : "?";
}

void Heard::add(int stream, std::string what) { streams[stream].push_back(std::move(what)); }

void Heard::add_data(int stream, std::size_t bytes) {
  auto& list = streams[stream];
  if (!list.empty() && list.back().starts_with("data ")) {
    bytes += std::stoul(list.back().substr(5));
    list.pop_back();
  }
  list.push_back("data " + std::to_string(bytes));
}

Peer::Peer(io::Ring& ring, io::Socket socket, std::unique_ptr<tls::Session> session)
    : ring_(ring), socket_(std::move(socket)), session_(std::move(session)) {
  MESH_CHECK(nghttp2_hd_deflate_new(&deflater_, 4096) == 0);
  MESH_CHECK(nghttp2_hd_inflate_new(&inflater_) == 0);
}

Peer::~Peer() {
  nghttp2_hd_deflate_del(deflater_);
  nghttp2_hd_inflate_del(inflater_);
}

io::Task<Result<Done>> Peer::handshake() {
  for (;;) {
    std::vector<tls::Piece> out;
    session_->take_output(out);
    for (const tls::Piece& piece : out) CO_TRY_DO(co_await socket_.send_all(piece.bytes()));
    if (session_->open()) co_return Done{};
    CO_TRY(io::Buffer got, co_await socket_.recv_buffer(io::BufferClass::kWire));
    if (got.empty()) co_return failed(Reason::kPeerClosed, "handshake");
    CO_TRY_DO(session_->feed(tls::Slice(std::move(got)), plaintext_));
  }
}

// The script and the answers to what is heard take turns: one writer at a time.
io::Task<void> Peer::write(std::string bytes) {
  outgoing_ += bytes;
  if (writing_) co_return;
  writing_ = true;
  while (!outgoing_.empty()) {
    const std::string now = std::exchange(outgoing_, {});
    std::vector<tls::Piece> out;
    (void)session_->seal(tls::Piece::copy_of(std::as_bytes(std::span(now))), out);
    for (const tls::Piece& piece : out) {
      const auto sent = co_await socket_.send_all(piece.bytes());
      if (!sent) break;
    }
  }
  writing_ = false;
}

io::Task<void> Peer::say_preface(bool client) {
  if (client) co_await write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

std::string Peer::headers_block(const std::vector<std::string>& words) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=', 1);
    fields.emplace_back(unescaped(words[i].substr(0, equals)),
                        unescaped(words[i].substr(equals + 1)));
  }
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : fields) {
    list.push_back({.name = reinterpret_cast<std::uint8_t*>(name.data()),
                    .value = reinterpret_cast<std::uint8_t*>(value.data()),
                    .namelen = name.size(),
                    .valuelen = value.size(),
                    .flags = NGHTTP2_NV_FLAG_NO_INDEX});
  }
  std::string block(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()), '\0');
  const auto size = nghttp2_hd_deflate_hd2(deflater_, reinterpret_cast<std::uint8_t*>(block.data()),
                                           block.size(), list.data(), list.size());
  MESH_CHECK(size >= 0);
  block.resize(static_cast<std::size_t>(size));
  return block;
}

io::Task<void> Peer::say_headers(const Line& line) {
  // An "end" line may follow: an empty DATA frame with END_STREAM, which says the same.
  std::string block = headers_block(line.words);
  std::uint8_t type = kHeaders;
  std::string text;
  for (std::string_view rest = block; !rest.empty();) {
    const std::string_view part = rest.substr(0, 16384);
    rest.remove_prefix(part.size());
    const bool trailers = line.verb() == "trailers";
    text += frame(type, static_cast<std::uint8_t>((rest.empty() ? 4 : 0) | (trailers ? 1 : 0)),
                  line.stream(), part);
    type = kContinuation;
  }
  co_await write(std::move(text));
}

io::Task<void> Peer::say(const Line& line) {
  const std::string& verb = line.verb();
  if (verb == "settings") {
    co_await write(frame(kSettings, 0, 0, settings_body(line)));
  } else if (verb == "headers" || verb == "trailers") {
    co_await say_headers(line);
  } else if (verb == "data") {
    const bool one = line.number(2) > 1048576 && line.number(2) < 1048580;  // frame-too-large
    for (std::size_t left = line.number(2); left > 0;) {
      const std::size_t part = one ? left : std::min<std::size_t>(left, 16384);
      left -= part;
      credit_[line.stream()] -= static_cast<long>(part);
      while (keeps_to_windows && !one && credit_[line.stream()] + kOurWindow < 0) {
        const auto slept = co_await io::sleep_for(ring_, std::chrono::milliseconds(1));
        if (!slept || heard.ended) co_return;
      }
      co_await write(frame(kData, 0, line.stream(), std::string(part, 'z')));
    }
  } else if (verb == "end") {
    co_await write(frame(kData, 1, line.stream(), {}));
  } else if (verb == "rst") {
    co_await write(frame(kReset, 0, line.stream(), u32(error_code_of(line.words.at(2)))));
  } else if (verb == "ping" || verb == "pong") {
    co_await write(frame(kPing, verb == "pong" ? 1 : 0, 0, from_hex(line.words.at(1))));
  } else if (verb == "goaway") {
    co_await write(
        frame(kGoaway, 0, 0, u32(line.number(1)) + u32(error_code_of(line.words.at(2)))));
  } else if (verb == "window") {
    co_await write(frame(kWindow, 0, line.stream(), u32(line.number(2))));
  } else if (verb == "raw" && line.words.at(1).starts_with("HTTP")) {
    co_await write("CONNECT 10.78.0.2:7000 HTTP/1.1\r\nHost: a\r\n\r\n");
  } else if (verb == "raw") {
    co_await write(frame(0xee, 0, 0, "abc"));
  } else if (verb == "abort") {
    socket_.reset();
  } else if (verb == "fin") {
    (void)socket_.finish_sending();
  } else if (verb == "close") {
    session_->close_notify();
    std::vector<tls::Piece> out;
    session_->take_output(out);
    for (const tls::Piece& piece : out) (void)co_await socket_.send_all(piece.bytes());
    (void)socket_.finish_sending();
  } else {
    MESH_CHECK(verb == "blackhole" || verb == "drain");
  }
}

io::Task<void> Peer::listen() {
  for (;;) {
    for (const tls::Slice& slice : plaintext_) {
      buffer_.append(reinterpret_cast<const char*>(slice.bytes().data()), slice.size());
    }
    plaintext_.clear();
    if (buffer_.starts_with("PRI * HTTP/2.0") && buffer_.size() >= 24) buffer_.erase(0, 24);
    while (buffer_.size() >= 9) {
      const std::size_t length = read_u32(std::string(1, '\0') + buffer_.substr(0, 3));
      if (buffer_.size() < 9 + length) break;
      const std::string whole = buffer_.substr(0, 9 + length);
      buffer_.erase(0, 9 + length);
      co_await take_frame(
          static_cast<std::uint8_t>(whole[3]), static_cast<std::uint8_t>(whole[4]),
          static_cast<int>(read_u32(std::string_view(whole).substr(5)) & 0x7fffffff),
          std::string_view(whole).substr(9));
    }
    if (session_->state() == tls::Session::State::kPeerClosed) {
      heard.add(0, "close");
      co_return;
    }
    auto got = co_await socket_.recv_buffer(io::BufferClass::kWire);
    if (!got || got->empty()) {
      if (!got && got.error().reason == Reason::kCancelled) co_return;
      heard.ended = true;
      heard.add(0, "broken");
      co_return;
    }
    if (!session_->feed(tls::Slice(*std::move(got)), plaintext_)) co_return;
  }
}

io::Task<void> Peer::take_frame(std::uint8_t type, std::uint8_t flags, int stream,
                                std::string_view body) {
  if (type == kSettings && (flags & 1) == 0) {
    co_await write(frame(kSettings, 1, 0, {}));
  } else if (type == kHeaders) {
    take_headers(stream, flags, body);
  } else if (type == kData) {
    if (!body.empty()) heard.add_data(stream, body.size());
    if (gives_credit && !body.empty()) {
      co_await write(frame(kWindow, 0, 0, u32(body.size())) +
                     frame(kWindow, 0, stream, u32(body.size())));
    }
    if ((flags & 1) != 0) heard.add(stream, "end");
  } else if (type == kReset) {
    if (keeps_to_windows) heard.ended = true;
    heard.add(stream, std::string("rst ") + error_name_of(read_u32(body)));
  } else if (type == kGoaway) {
    heard.add(0, "goaway " + std::to_string(read_u32(body)) + " " +
                     error_name_of(read_u32(body.substr(4))));
  } else if (type == kWindow) {
    credit_[stream] += static_cast<long>(read_u32(body));
  } else if (type == kPing && (flags & 1) == 0) {
    const bool path = body == "weftpath";  // measures the path: of ours, not in the record
    const bool probe = body == "weftping";
    if (!path && !probe) {
      heard.add(0, body == "weftlive" ? "ping" : "ping drain");
    }
    if (!mute || path || probe) co_await write(frame(kPing, 1, 0, body));
  } else if (type == kPing) {
    heard.add(0, "pong");
  }
}

void Peer::take_headers(int stream, std::uint8_t flags, std::string_view block) {
  std::vector<std::pair<std::string, std::string>> list;
  while (true) {
    nghttp2_nv field;
    int inflate_flags = 0;
    const auto used = nghttp2_hd_inflate_hd3(inflater_, &field, &inflate_flags,
                                             reinterpret_cast<const std::uint8_t*>(block.data()),
                                             block.size(), 1);
    MESH_CHECK(used >= 0);
    block.remove_prefix(static_cast<std::size_t>(used));
    if ((inflate_flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      list.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                        std::string(reinterpret_cast<char*>(field.value), field.valuelen));
    }
    if ((inflate_flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater_);
  std::string what;
  if (list.at(0).first == ":status") {
    what = "headers " + list[0].second;
    if (list.size() > 1) what += " " + list[1].first;
  } else {
    what = "connect " + list.at(1).second;
  }
  heard.add(stream, what);
  header_lists.push_back(std::move(list));
  if ((flags & 1) != 0) heard.add(stream, "end");
}

}  // namespace mesh::golden
