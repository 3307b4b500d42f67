#include "control/grpc_client_for_tests.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "mesh/base/check.h"
#include "mesh/xds/ads_codec.h"

namespace mesh::control {
namespace {

constexpr const char* kAdsMethod =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

grpc::ByteBuffer to_buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string to_string(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  MESH_CHECK(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

std::shared_ptr<grpc::Channel> connect(int port, const std::string& root_pem,
                                       const std::string& certificate_pem,
                                       const std::string& key_pem) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = root_pem;
  tls.pem_cert_chain = certificate_pem;
  tls.pem_private_key = key_pem;
  grpc::ChannelArguments arguments;
  // Each client has a connection of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetSslTargetNameOverride("localhost");
  return grpc::CreateCustomChannel("ipv4:127.0.0.1:" + std::to_string(port),
                                   grpc::SslCredentials(tls), arguments);
}

}  // namespace

struct TestClient::Impl {
  std::string authorization;
  grpc::CompletionQueue queue;
  grpc::GenericStub stub;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
  grpc::ByteBuffer incoming;
  bool reading = false;
  bool ended = false;

  Impl(int port, const std::string& root_pem, std::string token, const std::string& certificate_pem,
       const std::string& key_pem)
      : authorization(token.empty() ? "" : "Bearer " + std::move(token)),
        stub(connect(port, root_pem, certificate_pem, key_pem)) {}

  std::unique_ptr<grpc::ClientContext> new_context(
      std::chrono::seconds life = std::chrono::seconds(30)) const {
    auto made = std::make_unique<grpc::ClientContext>();
    if (!authorization.empty()) made->AddMetadata("authorization", authorization);
    made->set_wait_for_ready(true);  // for a server that is about to start
    made->set_deadline(std::chrono::system_clock::now() + life);
    return made;
  }

  // Tags: 1 a read, 2 anything else. False: nothing came in time.
  bool wait(std::intptr_t tag, std::chrono::milliseconds patience, bool* ok) {
    void* got = nullptr;
    const auto until = std::chrono::system_clock::now() + patience;
    while (queue.AsyncNext(&got, ok, until) == grpc::CompletionQueue::GOT_EVENT) {
      if (reinterpret_cast<std::intptr_t>(got) == tag) return true;
      if (reinterpret_cast<std::intptr_t>(got) == 1) early_read = *ok;
    }
    return false;
  }
  std::optional<bool> early_read;
};

TestClient::TestClient(int port, const std::string& root_pem, std::string token,
                       const std::string& certificate_pem, const std::string& key_pem)
    : impl_(std::make_unique<Impl>(port, root_pem, std::move(token), certificate_pem, key_pem)) {}

TestClient::~TestClient() {
  if (impl_->stream) close();
  impl_->queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (impl_->queue.Next(&tag, &ok)) {
  }
}

TestClient::Answer TestClient::call(const std::string& method, const std::string& request) {
  const auto context = impl_->new_context();
  const auto call =
      impl_->stub.PrepareUnaryCall(context.get(), method, to_buffer(request), &impl_->queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, reinterpret_cast<void*>(2));
  bool ok = false;
  MESH_CHECK(impl_->wait(2, std::chrono::seconds(30), &ok));
  if (!status.ok()) return {status.error_code(), status.error_message(), {}};
  return {0, {}, to_string(answer)};
}

void TestClient::open(std::chrono::seconds life) {
  impl_->reading = impl_->ended = false;
  impl_->early_read.reset();
  impl_->context = impl_->new_context(life);
  impl_->stream = impl_->stub.PrepareCall(impl_->context.get(), kAdsMethod, &impl_->queue);
  impl_->stream->StartCall(reinterpret_cast<void*>(2));
  bool ok = false;
  MESH_CHECK(impl_->wait(2, std::chrono::seconds(30), &ok));
}

void TestClient::send(const xds::DeltaRequest& request) {
  impl_->stream->Write(to_buffer(xds::encode(request)), reinterpret_cast<void*>(2));
  bool ok = false;
  MESH_CHECK(impl_->wait(2, std::chrono::seconds(30), &ok));
}

std::optional<xds::DeltaResponse> TestClient::receive(std::chrono::milliseconds patience) {
  if (impl_->ended) return {};
  if (!impl_->reading) impl_->stream->Read(&impl_->incoming, reinterpret_cast<void*>(1));
  impl_->reading = true;
  bool ok = false;
  if (impl_->early_read) {
    ok = *std::exchange(impl_->early_read, std::nullopt);
  } else if (!impl_->wait(1, patience, &ok)) {
    return {};
  }
  impl_->reading = false;
  impl_->ended = !ok;
  if (!ok) return {};
  const auto response = xds::decode_response(to_string(impl_->incoming));
  MESH_CHECK(response.has_value());
  return *response;
}

int TestClient::close() {
  if (!impl_->ended) impl_->context->TryCancel();
  grpc::Status status;
  impl_->stream->Finish(&status, reinterpret_cast<void*>(2));
  bool ok = false;
  MESH_CHECK(impl_->wait(2, std::chrono::seconds(30), &ok));
  impl_->stream.reset();
  return status.error_code();
}

}  // namespace mesh::control
