#include "mesh/xds/ads_state.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::xds {
namespace {

constexpr ResourceType kTypes[] = {ResourceType::kAddress, ResourceType::kAuthorization};
constexpr std::string_view kWildcard = "*";

// What came over the wire goes into logs and back to the server as text: printable, and not
// endless.
std::string printable(std::string_view bytes, std::size_t max) {
  std::string text;
  for (const char c : bytes.substr(0, max)) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(byte < 0x20 || byte >= 0x7f ? '?' : c);
  }
  return text;
}

std::string shown(std::string_view name) {
  return name.empty() ? "(no name)" : printable(name, 256);
}

// Appends "name: why; " until the text is full; then says how many are missing.
class NackText {
 public:
  explicit NackText(std::size_t max) : max_(max) {}

  void add(std::string_view name, std::string_view error) {
    std::string line = shown(name);
    line.append(": ").append(printable(error, 1024));
    if (text_.size() + line.size() + 2 > max_) {
      ++left_out_;
      if (text_.empty()) text_ = line.substr(0, max_);
      return;
    }
    if (!text_.empty()) text_.append("; ");
    text_.append(line);
  }

  std::string take() && {
    if (left_out_ > 0) text_.append("; and ").append(std::to_string(left_out_)).append(" more");
    return std::move(text_);
  }

 private:
  std::size_t max_;
  std::size_t left_out_ = 0;
  std::string text_;
};

}  // namespace

AdsState::AdsState(AdsOptions options) : options_(std::move(options)) {}

void AdsState::connected() {
  connected_ = true;
  made_progress_ = false;
  ++connection_;
  for (const ResourceType type : kTypes) {
    PerType& state = of(type);
    state.first_request_due = true;
    // The first request says everything that was ever asked for.
    state.to_subscribe.clear();
    state.to_unsubscribe.clear();
  }
}

void AdsState::disconnected() {
  connected_ = false;
  // A nonce means nothing on another stream. What waits to be applied still counts when it is.
  answers_.clear();
}

bool AdsState::can_receive() const {
  return unapplied_.size() + answers_.size() < options_.limits.unapplied_max;
}

Result<std::optional<Update>> AdsState::receive(const DeltaResponse& response, ResourceSink& sink) {
  TRY_DO(receive_check(response));
  const std::optional<ResourceType> type = type_of_url(response.type_url);
  if (!type) {
    last_nack_ = "a type that was not asked for: " + shown(response.type_url);
    answers_.push_back({.connection = connection_,
                        .type_url = response.type_url,
                        .nonce = response.nonce,
                        .error = last_nack_});
    return std::nullopt;
  }
  if (exceeds_resources_max(*type, response)) return failed(Reason::kTooLarge, "xds resources");

  made_progress_ = true;
  PerType& state = of(*type);
  Update update{.sequence = ++last_sequence_, .control_version = response.system_version};
  std::vector<Rejection> rejections = sink.take(*type, response.resources, response.removed);
  update.removals = receive_removed(*type, response);
  receive_versions(*type, response, rejections);
  update.upserts =
      response.resources.size() - std::min(rejections.size(), response.resources.size());

  NackText nack(options_.limits.error_bytes_max);
  for (const Rejection& rejection : rejections) nack.add(rejection.name, rejection.error);
  rejections.resize(std::min(rejections.size(), options_.limits.rejections_max));
  for (Rejection& rejection : rejections) {
    rejection.name = shown(rejection.name);
    rejection.error = printable(rejection.error, 1024);
  }
  update.rejections = std::move(rejections);

  state.received = true;
  update.complete =
      of(ResourceType::kAddress).received && of(ResourceType::kAuthorization).received;
  std::string error = std::move(nack).take();
  if (!error.empty()) last_nack_ = error;
  unapplied_.push_back({.sequence = update.sequence,
                        .connection = connection_,
                        .type_url = response.type_url,
                        .nonce = response.nonce,
                        .error = std::move(error),
                        .control_version = response.system_version});
  return update;
}

Result<Done> AdsState::receive_check(const DeltaResponse& response) const {
  const AdsLimits& limits = options_.limits;
  if (response.nonce.empty()) return failed(Reason::kProtocol, "xds response without a nonce");
  if (response.nonce.size() > limits.version_bytes_max ||
      response.system_version.size() > limits.version_bytes_max ||
      response.type_url.size() > limits.name_bytes_max) {
    return failed(Reason::kTooLarge, "xds response");
  }
  if (response.resources.size() + response.removed.size() > limits.changes_max) {
    return failed(Reason::kTooLarge, "xds response");
  }
  for (const RawResource& resource : response.resources) {
    if (resource.name.size() > limits.name_bytes_max ||
        resource.version.size() > limits.version_bytes_max) {
      return failed(Reason::kTooLarge, "xds resource");
    }
  }
  // The driver asks can_receive() before it reads.
  if (!can_receive()) return failed(Reason::kExhausted, "xds responses not applied");
  return Done{};
}

bool AdsState::exceeds_resources_max(ResourceType type, const DeltaResponse& response) const {
  const std::size_t max = options_.limits.resources_max;
  const auto& versions = of(type).versions;
  if (versions.size() + response.resources.size() <= max) return false;
  std::size_t added = 0;
  for (const RawResource& resource : response.resources) {
    if (!versions.contains(resource.name)) ++added;
  }
  return versions.size() + added > max;
}

// How many of the removed names were held. The others: a delete that overtook its add, or the
// answer to a subscription.
std::size_t AdsState::receive_removed(ResourceType type, const DeltaResponse& response) {
  std::size_t removals = 0;
  for (const std::string& name : response.removed) removals += of(type).versions.erase(name);
  return removals;
}

// A name that was both removed and sent is there afterwards: so does the Directory see it.
void AdsState::receive_versions(ResourceType type, const DeltaResponse& response,
                                const std::vector<Rejection>& rejections) {
  auto& versions = of(type).versions;
  for (const RawResource& resource : response.resources) {
    versions.insert_or_assign(resource.name, resource.version);
  }
  for (const Rejection& rejection : rejections) {
    if (const auto held = versions.find(rejection.name); held != versions.end()) {
      held->second.clear();
    }
  }
}

void AdsState::applied(std::uint64_t sequence) {
  MESH_CHECK(sequence <= last_sequence_);
  while (!unapplied_.empty() && unapplied_.front().sequence <= sequence) {
    Answer answer = std::move(unapplied_.front());
    unapplied_.pop_front();
    of(*type_of_url(answer.type_url)).applied = true;
    applied_version_ = answer.control_version;
    if (connected_ && answer.connection == connection_) answers_.push_back(std::move(answer));
  }
}

Result<Done> AdsState::subscribe(ResourceType type, std::string name) {
  if (options_.mode == AdsMode::kWildcard) return Done{};
  PerType& state = of(type);
  if (state.subscribed.contains(name)) return Done{};
  if (name.empty() || name.size() > options_.limits.name_bytes_max) {
    return failed(Reason::kTooLarge, "xds subscription");
  }
  if (state.subscribed.size() >= options_.limits.subscriptions_max) {
    return failed(Reason::kExhausted, "xds subscriptions");
  }
  state.subscribed.insert(name);
  if (!connected_ || state.first_request_due) return Done{};
  if (std::erase(state.to_unsubscribe, name) == 0) state.to_subscribe.push_back(std::move(name));
  return Done{};
}

void AdsState::unsubscribe(ResourceType type, const std::string& name) {
  PerType& state = of(type);
  if (state.subscribed.erase(name) == 0) return;
  if (!connected_ || state.first_request_due) return;
  if (std::erase(state.to_subscribe, name) == 0) state.to_unsubscribe.push_back(name);
}

std::optional<DeltaRequest> AdsState::next_request() {
  if (!connected_) return std::nullopt;
  for (const ResourceType type : kTypes) {
    if (std::exchange(of(type).first_request_due, false)) return first_request(type);
  }
  if (!answers_.empty()) {
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    DeltaRequest request{.type_url = std::move(answer.type_url)};
    request.response_nonce = std::move(answer.nonce);
    if (!answer.error.empty()) request.error = std::move(answer.error);
    return request;
  }
  for (const ResourceType type : kTypes) {
    PerType& state = of(type);
    if (state.to_subscribe.empty() && state.to_unsubscribe.empty()) continue;
    DeltaRequest request{.type_url = std::string(type_url(type))};
    request.subscribe = std::exchange(state.to_subscribe, {});
    request.unsubscribe = std::exchange(state.to_unsubscribe, {});
    return request;
  }
  return std::nullopt;
}

DeltaRequest AdsState::first_request(ResourceType type) {
  const PerType& state = of(type);
  DeltaRequest request{.node = options_.node, .type_url = std::string(type_url(type))};
  // Wildcard is an empty subscription. On demand takes it back in the same message, so that the
  // server knows that this client has left wildcard on purpose.
  if (options_.mode == AdsMode::kOnDemand) {
    request.subscribe.emplace_back(kWildcard);
    request.unsubscribe.emplace_back(kWildcard);
    request.subscribe.insert(request.subscribe.end(), state.subscribed.begin(),
                             state.subscribed.end());
  }
  request.initial_versions.assign(state.versions.begin(), state.versions.end());
  return request;
}

bool AdsState::complete() const {
  return of(ResourceType::kAddress).applied && of(ResourceType::kAuthorization).applied;
}

}  // namespace mesh::xds
