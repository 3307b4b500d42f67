// grpc-echo-server NAME PORT: answers every call with its name, and does what is asked of it.

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace {

using weft::test::Reply;
using weft::test::Request;

class Echo final : public weft::test::Echo::Service {
 public:
  explicit Echo(std::string name) : name_(std::move(name)) {}

  grpc::Status Unary(grpc::ServerContext* context, const Request* request, Reply* reply) override {
    if (!wait(*context, *request)) return grpc::Status::CANCELLED;
    fill(*context, *request, 1, *reply);
    return status(*context, *request);
  }

  grpc::Status Down(grpc::ServerContext* context, const Request* request,
                    grpc::ServerWriter<Reply>* writer) override {
    for (std::uint32_t i = 1; i <= request->count(); ++i) {
      if (!wait(*context, *request)) return grpc::Status::CANCELLED;
      Reply reply;
      fill(*context, *request, i, reply);
      if (!writer->Write(reply)) return grpc::Status::CANCELLED;
    }
    return status(*context, *request);
  }

  grpc::Status Up(grpc::ServerContext* context, grpc::ServerReader<Request>* reader,
                  Reply* reply) override {
    Request request;
    Request last;
    std::uint64_t received = 0;
    while (reader->Read(&request)) {
      received += request.body().size();
      last = request;
    }
    fill(*context, last, received, *reply);
    return status(*context, last);
  }

  grpc::Status Both(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<Reply, Request>* stream) override {
    Request request;
    std::uint64_t number = 0;
    while (stream->Read(&request)) {
      if (!wait(*context, request)) return grpc::Status::CANCELLED;
      Reply reply;
      fill(*context, request, ++number, reply);
      if (!stream->Write(reply)) return grpc::Status::CANCELLED;
    }
    return status(*context, request);
  }

 private:
  // False: the caller is gone.
  static bool wait(grpc::ServerContext& context, const Request& request) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(request.delay_ms());
    while (std::chrono::steady_clock::now() < until) {
      if (context.IsCancelled()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  void fill(const grpc::ServerContext& context, const Request& request, std::uint64_t number,
            Reply& reply) const {
    reply.set_server(name_);
    reply.set_text(request.text());
    reply.set_number(number);
    reply.set_body(request.size() > 0 ? std::string(request.size(), 'x') : request.body());
    for (const auto& [name, value] : context.client_metadata()) {
      std::string& all = (*reply.mutable_headers())[std::string(name.data(), name.size())];
      if (!all.empty()) all += ',';
      all.append(value.data(), value.size());
    }
  }

  grpc::Status status(grpc::ServerContext& context, const Request& request) const {
    context.AddTrailingMetadata("x-served-by", name_);
    if (request.status() == 0) return grpc::Status::OK;
    return {static_cast<grpc::StatusCode>(request.status()), "as asked: 100% of \xc3\xa4"};
  }

  const std::string name_;
};

}  // namespace

int main(int count, char** words) {
  if (count != 3) {
    std::cerr << "grpc-echo-server NAME PORT\n";
    return 1;
  }
  Echo service(words[1]);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("[::]:" + std::string(words[2]), grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
}
