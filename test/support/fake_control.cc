#include "test/support/fake_control.h"

#include <utility>

#include "mesh/base/check.h"
#include "mesh/xds/ads_codec.h"
#include "mesh/xds/ca_codec.h"

namespace mesh::test {

void FakeDiscovery::on_call(ServerCall& call) {
  calls.push_back(call.headers());
  if (refuse_with) return call.finish(*refuse_with);
  sessions_[&call] = std::make_unique<AdsServerSession>(state);
  newest_ = &call;
}

void FakeDiscovery::on_message(ServerCall& call, std::string message) {
  const auto request = xds::decode_request(message);
  MESH_CHECK(request.has_value());
  requests.push_back(*request);
  const auto session = sessions_.find(&call);
  if (session == sessions_.end() || silent) return;
  if (first_bytes) return call.send_raw(*std::exchange(first_bytes, std::nullopt));
  session->second->receive(*request);
  push(call, *session->second);
}

void FakeDiscovery::push(ServerCall& call, AdsServerSession& session) {
  while (const auto response = session.next()) call.send(xds::encode(*response));
}

void FakeDiscovery::push() {
  for (auto& [call, session] : sessions_) push(*call, *session);
}

const AdsServerSession* FakeDiscovery::session() const {
  const auto found = sessions_.find(newest_);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void FakeDiscovery::end_streams(const grpc::Status& status) {
  for (auto& [call, session] : sessions_) call->finish(status);
}

void FakeDiscovery::on_gone(ServerCall& call) { sessions_.erase(&call); }

void FakeCa::on_message(ServerCall& call, std::string message) {
  const auto request = xds::decode_certificate_request(message);
  MESH_CHECK(request.has_value());
  asked_for.push_back(request->impersonated_identity);
  if (silent) return;
  if (refuse_with) return call.finish(*refuse_with);
  call.send(xds::encode_certificates(
      answer_with ? *answer_with : ca_.sign_request(request->csr_pem, wall_(), lifetime)));
  call.finish({});
}

}  // namespace mesh::test
