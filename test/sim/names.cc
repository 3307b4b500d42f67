#include "test/sim/names.h"

#include "mesh/grpc/resolver.h"
#include "mesh/io/timer.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kDns = 53;
constexpr std::size_t kHeaderBytes = 12;

net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }

// Of the only question of a message; empty when there is none.
std::string name_in(std::string_view message) {
  std::string name;
  std::size_t place = kHeaderBytes;
  while (place < message.size() && message[place] != 0) {
    const auto length = static_cast<unsigned char>(message[place]);
    name.append(".").append(message.substr(place + 1, length));
    place += 1u + length;
  }
  return name;
}

// One question, and what comes back.
io::Task<Result<std::string>> ask_once(io::Ring& ring, net::IpAddress own, std::string question) {
  io::ListenOptions options;
  options.at.ip = own;
  options.reuse_port = false;
  CO_TRY(io::DatagramSocket socket, io::DatagramSocket::open(ring, options));
  CO_TRY_DO(co_await socket.send_to(std::as_bytes(std::span(question)), {ip(kNameServer), kDns}));
  std::string memory(4096, '\0');
  CO_TRY(const auto got,
         co_await io::with_deadline(ring, 3s, "answer",
                                    socket.recv_from(std::as_writable_bytes(std::span(memory)))));
  co_return memory.substr(0, got.size);
}

// Empty, or what is wrong with it. A server failure is no wrong answer, but none.
std::string judge(Name& name, const Result<grpc::Resolved>& found) {
  name.answered = found.has_value();
  if (found) return found->addresses == std::vector{name.right} ? "" : "hears a wrong address of ";
  return found.error().reason == Reason::kProtocol ? "" : "hears nonsense, or of no ";
}

}  // namespace

io::Task<void> ask_for(io::Ring& ring, net::IpAddress own, Name& name, Findings& findings) {
  const auto type = name.v6 ? grpc::QueryType::kAaaa : grpc::QueryType::kA;
  for (unsigned i = 0; i < name.tries && !name.answered; ++i) {
    const auto id = static_cast<std::uint16_t>(ring.random());
    const auto reply = co_await ask_once(ring, own, grpc::encode_query(id, name.text, type));
    if (!reply && reply.error().reason == Reason::kCancelled) break;
    if (!reply && reply.error().reason == Reason::kTimedOut) continue;
    if (reply) {
      name.heard = true;
      const std::string wrong = judge(name, grpc::decode_reply(*reply, id, name.text, type));
      if (!wrong.empty()) {
        findings.add("names: pod " + std::to_string(name.from) + " " + wrong + name.text);
      }
    }
    if (!name.answered && !co_await io::sleep_for(ring, 1s)) break;
  }
  name.over = true;
}

io::Task<void> NameServer::serve(io::Ring& ring) {
  io::ListenOptions options;
  options.at = {net::IpAddress::v6({}), kDns};
  auto socket = io::DatagramSocket::open(ring, options);
  MESH_CHECK(socket.has_value());
  std::string memory(4096, '\0');
  for (;;) {
    const auto got = co_await socket->recv_from(std::as_writable_bytes(std::span(memory)));
    if (!got && got.error().reason == Reason::kCancelled) co_return;
    if (!got && !co_await io::sleep_for(ring, 1ms)) co_return;
    if (!got) continue;
    const std::string response = answer(std::string_view(memory).substr(0, got->size));
    if (response.empty()) continue;
    (void)co_await socket->send_to(std::as_bytes(std::span(response)), got->peer);
  }
}

std::string NameServer::answer(std::string_view question) {
  const std::string name = name_in(question);
  if (!name.ends_with(kElsewhere)) {
    findings_.add("names: " + name + " is asked for outside");
  }
  if (silent || question.size() < kHeaderBytes + 4) return {};
  const bool v6 = question[question.size() - 3] == 28;
  std::string response(question);
  response[2] = static_cast<char>(response[2] | 0x80);
  response[7] = 1;                           // one answer
  response += std::string("\xc0\x0c\0", 3);  // of the question's name
  response += std::string{static_cast<char>(v6 ? 28 : 1), 0, 1, 0, 0, 0, 30, 0};
  const net::IpAddress address = ip(v6 ? kElsewhereV6 : kElsewhereV4);
  const auto bytes = address.bytes();
  response += static_cast<char>(bytes.size());
  response.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return response;
}

}  // namespace mesh::sim
