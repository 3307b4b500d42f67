#include "waypoint/remote_keys.h"

#include <algorithm>
#include <utility>

#include "waypoint/callout.h"

namespace mesh::waypoint {
namespace {

constexpr std::chrono::milliseconds kCacheMin = std::chrono::seconds(1);

std::string key_of(const config::RemoteJwks& from) {
  return from.cluster + " " + std::to_string(from.cache_for.count()) + " " + from.uri;
}

// GET of an absolute "http://host/path?query".
http::Request request_for(std::string_view uri) {
  const std::size_t scheme = uri.find("://");
  http::Request request{.method = "GET", .headers = {{"accept", "application/json"}}};
  if (scheme == std::string_view::npos) return request;
  request.scheme = uri.substr(0, scheme);
  uri.remove_prefix(scheme + 3);
  const std::size_t end = std::min(uri.find_first_of("/?#"), uri.size());
  request.authority = uri.substr(0, end);
  request.path = uri.substr(end, uri.find('#') - end);
  if (!request.path.starts_with('/')) request.path.insert(0, "/");
  return request;
}

template <class Visit>
void for_each_chain(const config::Snapshot& snapshot, Visit&& visit) {
  const auto both = [&](const config::Destination& destination) {
    if (destination.http) visit(*destination.http);
  };
  for (const auto& [address, destination] : snapshot.by_address->exact) both(destination);
  for (const config::Snapshot::Block& block : snapshot.by_address->blocks) both(block.destination);
  for (const auto& [name, destination] : *snapshot.by_hostname) both(destination);
  both(snapshot.direct);
}

}  // namespace

struct RemoteKeys::Place {
  Place(io::Ring& ring, const config::RemoteJwks& of)
      : from(of), state(std::max(of.cache_for, kCacheMin)), over(ring) {}
  config::RemoteJwks from;
  jwt::FetchedKeys state;
  io::Event over;  // pulses with the end of a fetch
  bool fetching = false;
  io::TimePoint used{};
};

RemoteKeys::RemoteKeys(RingContext& context) : context_(context) {}
RemoteKeys::~RemoteKeys() = default;

jwt::FetchedKeys::Time RemoteKeys::now() const { return context_.ring.now().time_since_epoch(); }

RemoteKeys::PlacePtr RemoteKeys::place(const config::RemoteJwks& from) {
  const std::string key = key_of(from);
  auto found = places_.find(key);
  if (found == places_.end()) {
    if (places_.size() >= kMax) {
      const auto oldest =
          std::ranges::min_element(places_, {}, [](const auto& item) { return item.second->used; });
      if (oldest->second->fetching) return nullptr;
      places_.erase(oldest);
    }
    found = places_.emplace(key, std::make_shared<Place>(context_.ring, from)).first;
  }
  found->second->used = context_.ring.now();
  return found->second;
}

void RemoteKeys::begin(const PlacePtr& place) {
  if (fetching_.cancelled() || !place->state.start_fetch(now())) return;
  place->fetching = true;
  fetching_.spawn(fetch(place));
}

io::Task<void> RemoteKeys::fetch(PlacePtr place) {
  HttpCall call{.cluster = place->from.cluster, .request = request_for(place->from.uri)};
  call.timeout = std::min<io::Duration>(place->from.timeout, kTimeoutMax);
  if (call.timeout <= io::Duration::zero()) call.timeout = kTimeoutMax;
  call.response_max = jwt::kMaxKeySetBytes;
  const auto answer = co_await call_http(context_, context_.snapshot, std::move(call));
  if (answer && answer->status == 200 && place->state.fetched(answer->body, now())) {
    ++counts_.fetched;
  } else {
    ++counts_.failed;
    // Keys that do not parse have been told already.
    if (!answer || answer->status != 200) place->state.failed(now());
  }
  place->fetching = false;
  place->over.set();
  place->over.reset();
}

jwt::KeysPtr RemoteKeys::keys(const config::RemoteJwks& from) {
  const PlacePtr at = place(from);
  if (!at) return nullptr;
  begin(at);
  return at->state.keys(now());
}

io::Task<void> RemoteKeys::settled(const config::RemoteJwks& from) {
  const PlacePtr at = place(from);
  if (at && at->fetching) (void)co_await at->over.wait();
}

void RemoteKeys::unknown_key(const config::RemoteJwks& from) {
  const PlacePtr at = place(from);
  if (!at) return;
  at->state.unknown_key(now());
  begin(at);
}

void RemoteKeys::prepare(const config::Snapshot& snapshot) {
  for_each_chain(snapshot, [this](const config::Chain& chain) {
    if (!chain.http) return;
    for (const config::HttpFilter& filter : chain.http->filters) {
      const auto* tokens = std::get_if<config::JwtFilter>(&filter.settings);
      if (tokens == nullptr) continue;
      for (const config::JwtProvider& provider : tokens->providers) {
        if (provider.inline_jwks.empty() && provider.remote.fetch_ahead) {
          (void)keys(provider.remote);
        }
      }
    }
  });
}

io::Task<void> RemoteKeys::close() {
  fetching_.cancel();
  co_await fetching_.join();
}

}  // namespace mesh::waypoint
