// grpc-echo-client call TARGET [-n CALLS] [-d DEADLINE_MS] [-s STATUS] [-w DELAY_MS] [-H
// NAME=VALUE]...
//   Unary calls on one connection; a line of JSON each: code, message, server, headers as received.
// grpc-echo-client soak TARGET SECONDS CONNECTIONS
//   Calls of every kind, each checked, until SECONDS are over or standard input ends. The last line
//   is JSON: calls by kind, replies by server, and the first failures; a failure is a call that
//   ended otherwise than it asked to. Says "begun" when the first call of each connection has
//   ended.

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <nlohmann/json.hpp>

#include "echo.grpc.pb.h"

namespace {

using nlohmann::json;
using weft::test::Echo;
using weft::test::Reply;
using weft::test::Request;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kLarge = 3 << 20;
constexpr milliseconds kPatience{20'000};

std::unique_ptr<Echo::Stub> connect(const std::string& target, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt("weft.connection", number);  // a connection of its own
  // What is tried again is for the mesh to say.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return Echo::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
}

std::string said(const grpc::Status& status) {
  return std::to_string(status.error_code()) + " " + status.error_message();
}

// One connection's calls. Each kind returns what was wrong, or "".
class Caller {
 public:
  Caller(const std::string& target, int number) : stub_(connect(target, number)) {}

  static constexpr const char* kKinds[] = {"unary", "large",    "down",   "up",
                                           "both",  "deadline", "cancel", "status"};

  std::string call(std::size_t kind) {
    switch (kind) {
      case 0:
        return unary(1024);
      case 1:
        return unary(kLarge);
      case 2:
        return down();
      case 3:
        return up();
      case 4:
        return both(0);
      case 5:
        return deadline();
      case 6:
        return both(3);
      default:
        return status();
    }
  }

  std::map<std::string, std::uint64_t> servers;

 private:
  static void patient(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
  }

  std::string unary(int size) {
    grpc::ClientContext context;
    patient(context);
    Request request;
    request.set_text("call " + std::to_string(++number_));
    request.set_body(
        std::string(static_cast<std::size_t>(size), static_cast<char>('a' + number_ % 26)));
    Reply reply;
    const grpc::Status status = stub_->Unary(&context, request, &reply);
    if (!status.ok()) return said(status);
    ++servers[reply.server()];
    if (reply.text() != request.text() || reply.body() != request.body()) return "another's reply";
    return {};
  }

  std::string down() {
    grpc::ClientContext context;
    patient(context);
    Request request;
    request.set_count(50);
    request.set_size(2000);
    auto reader = stub_->Down(&context, request);
    Reply reply;
    std::uint64_t next = 1;
    while (reader->Read(&reply)) {
      if (reply.number() != next++ || reply.body().size() != 2000) return "replies out of order";
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return said(status);
    return next == 51 ? "" : "replies are missing";
  }

  std::string up() {
    grpc::ClientContext context;
    patient(context);
    Reply reply;
    auto writer = stub_->Up(&context, &reply);
    Request request;
    request.set_body(std::string(64 << 10, 'u'));
    for (int i = 0; i < 20; ++i) {
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) return said(status);
    return reply.number() == 20U * (64 << 10) ? "" : "bytes are missing";
  }

  // `cancel_after` exchanges, or after 20 it ends as it should.
  std::string both(int cancel_after) {
    grpc::ClientContext context;
    patient(context);
    auto stream = stub_->Both(&context);
    Request request;
    Reply reply;
    for (int i = 1; i <= 20; ++i) {
      request.set_text(std::to_string(i));
      if (!stream->Write(request) || !stream->Read(&reply)) return said(stream->Finish());
      if (reply.text() != request.text()) return "another's reply";
      if (i != cancel_after) continue;
      context.TryCancel();
      const grpc::Status status = stream->Finish();
      return status.error_code() == grpc::StatusCode::CANCELLED ? "" : said(status);
    }
    stream->WritesDone();
    const grpc::Status status = stream->Finish();
    return status.ok() ? "" : said(status);
  }

  std::string deadline() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
    Request request;
    request.set_delay_ms(3000);
    Reply reply;
    const auto begun = Clock::now();
    const grpc::Status status = stub_->Unary(&context, request, &reply);
    if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) return said(status);
    return Clock::now() - begun < milliseconds(2000) ? "" : "the deadline came late";
  }

  std::string status() {
    grpc::ClientContext context;
    patient(context);
    Request request;
    request.set_status(1 + ++number_ % 16);
    Reply reply;
    const grpc::Status status = stub_->Unary(&context, request, &reply);
    if (static_cast<std::uint32_t>(status.error_code()) != request.status() ||
        status.error_message() != "as asked: 100% of \xc3\xa4") {
      return "asked for " + std::to_string(request.status()) + ": " + said(status);
    }
    return {};
  }

  std::unique_ptr<Echo::Stub> stub_;
  std::uint64_t number_ = 0;
};

int soak(const std::string& target, int seconds, int connections) {
  std::atomic<bool> over{false};
  std::atomic<int> ready{0};
  std::mutex mutex;
  json calls = json::object();
  json failures = json::array();
  std::map<std::string, std::uint64_t> servers;
  std::uint64_t failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < connections; ++i) {
    threads.emplace_back([&, i] {
      Caller caller(target, i);
      std::uint64_t counts[std::size(Caller::kKinds)] = {};
      for (std::size_t kind = 0; !over; kind = (kind + 1) % std::size(Caller::kKinds)) {
        const std::string wrong = caller.call(kind);
        if (++counts[kind] == 1 && kind == 0) ++ready;
        if (wrong.empty()) continue;
        const std::lock_guard lock(mutex);
        if (++failed <= 20) failures.push_back(std::string(Caller::kKinds[kind]) + ": " + wrong);
      }
      const std::lock_guard lock(mutex);
      for (std::size_t kind = 0; kind < std::size(Caller::kKinds); ++kind) {
        auto& sum = calls[Caller::kKinds[kind]];
        sum = (sum.is_null() ? 0 : sum.get<std::uint64_t>()) + counts[kind];
      }
      for (const auto& [name, count] : caller.servers) servers[name] += count;
    });
  }
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  bool told = false;
  while (Clock::now() < end) {
    if (!told && ready == connections) {
      std::cout << "begun" << std::endl;
      told = true;
    }
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    char byte = 0;
    if (::poll(&input, 1, 50) > 0 && ::read(STDIN_FILENO, &byte, 1) <= 0) break;
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  const json summary = {
      {"calls", calls}, {"servers", servers}, {"failed", failed}, {"failures", failures}};
  std::cout << summary.dump() << std::endl;
  return failed == 0 ? 0 : 2;
}

struct CallOptions {
  int calls = 1;
  int deadline_ms = 5000;
  Request request;
  std::vector<std::pair<std::string, std::string>> headers;
};

int call(const std::string& target, const CallOptions& options) {
  const auto stub = connect(target, 0);
  for (int i = 0; i < options.calls; ++i) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + milliseconds(options.deadline_ms));
    for (const auto& [name, value] : options.headers) context.AddMetadata(name, value);
    Reply reply;
    const grpc::Status status = stub->Unary(&context, options.request, &reply);
    const json line = {{"code", status.error_code()},
                       {"message", status.error_message()},
                       {"server", reply.server()},
                       {"headers", std::map<std::string, std::string>(reply.headers().begin(),
                                                                      reply.headers().end())}};
    std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 2 ? words[1] : "";
  if (what == "soak" && count == 5) {
    return soak(words[2], std::atoi(words[3]), std::atoi(words[4]));
  }
  if (what != "call" || count % 2 == 0) {
    std::cerr << "grpc-echo-client call|soak TARGET …\n";
    return 1;
  }
  CallOptions options;
  for (int i = 3; i + 1 < count; i += 2) {
    const std::string flag = words[i];
    const std::string value = words[i + 1];
    if (flag == "-n") options.calls = std::atoi(value.c_str());
    if (flag == "-d") options.deadline_ms = std::atoi(value.c_str());
    if (flag == "-s") options.request.set_status(static_cast<std::uint32_t>(std::stoul(value)));
    if (flag == "-w") options.request.set_delay_ms(static_cast<std::uint32_t>(std::stoul(value)));
    if (flag == "-H") {
      options.headers.emplace_back(value.substr(0, value.find('=')),
                                   value.substr(value.find('=') + 1));
    }
  }
  return call(words[2], options);
}
