#pragma once
// The far end of a replay: frames made by hand over a TLS session, and notes of what comes back.

#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/tls/session.h"
#include "test/golden/hbone/cases.h"

namespace mesh::golden {

// Notes of one connection: per stream (0: the connection), with DATA added up.
struct Heard {
  std::map<int, std::vector<std::string>> streams;
  bool ended = false;  // nobody waits for credit any more
  void add(int stream, std::string what);
  void add_data(int stream, std::size_t bytes);
};

class Peer {
 public:
  Peer(io::Ring& ring, io::Socket socket, std::unique_ptr<tls::Session> session);
  ~Peer();

  io::Task<Result<Done>> handshake();
  // Reads until the end, or cancellation. Acknowledges SETTINGS and, unless `mute`, PINGs.
  io::Task<void> listen();
  // One "<" line.
  io::Task<void> say(const Line& line);
  io::Task<void> say_preface(bool client);

  Heard heard;
  bool keeps_to_windows = true;  // waits for our credit, which is smaller than what was recorded
  bool gives_credit = false;     // as much as it reads, at once
  bool mute = false;             // does not answer PING: the script does, or nobody
  // What arrived as HEADERS, decoded, in order.
  std::vector<std::vector<std::pair<std::string, std::string>>> header_lists;

 private:
  io::Task<void> write(std::string bytes);
  std::string headers_block(const std::vector<std::string>& words);
  io::Task<void> say_headers(const Line& line);
  io::Task<void> take(std::string_view bytes);
  io::Task<void> take_frame(std::uint8_t type, std::uint8_t flags, int stream,
                            std::string_view body);
  void take_headers(int stream, std::uint8_t flags, std::string_view block);

  io::Ring& ring_;
  io::Socket socket_;
  std::unique_ptr<tls::Session> session_;
  std::vector<tls::Slice> plaintext_;
  std::string buffer_;
  std::string outgoing_;
  bool writing_ = false;
  std::map<int, long> credit_;  // what we may still send on a stream, beyond the initial window
  nghttp2_hd_deflater* deflater_ = nullptr;
  nghttp2_hd_inflater* inflater_ = nullptr;
};

std::string frame(std::uint8_t type, std::uint8_t flags, int stream, std::string_view body);
std::uint32_t error_code_of(const std::string& name);
const char* error_name_of(std::uint32_t code);

}  // namespace mesh::golden
