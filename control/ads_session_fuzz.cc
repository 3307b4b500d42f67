// A client that says anything on a discovery stream, while the world changes. A byte chooses what
// happens next; at the end a client that agrees to everything must have all of it.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/ads_session.h"
#include "mesh/base/check.h"
#include "mesh/xds/ads_codec.h"

namespace {

using namespace mesh;
using control::Resource;
using control::Snapshot;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size)
      : text_(reinterpret_cast<const char*>(data), size) {}
  bool done() const { return text_.empty(); }
  unsigned byte() {
    if (text_.empty()) return 0;
    const auto first = static_cast<unsigned char>(text_.front());
    text_.remove_prefix(1);
    return first;
  }
  std::string_view some() {
    const std::size_t length = byte();
    const std::string_view taken = text_.substr(0, length);
    text_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view text_;
};

class Stream {
 public:
  void run(Bytes bytes) {
    while (!bytes.done()) {
      const unsigned chosen = bytes.byte();
      const unsigned more = bytes.byte();
      const auto type = static_cast<xds::ResourceType>(more % xds::kResourceTypeCount);
      switch (chosen % 6) {
        case 0:
          if (const auto raw = xds::decode_request(bytes.some())) ask(*raw);
          break;
        case 1:
          ask({.type_url = std::string(xds::type_url(type)), .subscribe = {name(more)}});
          break;
        case 2:
          ask({.type_url = std::string(xds::type_url(type)), .unsubscribe = {name(more)}});
          break;
        case 3:
          publish(type, name(more), bytes.byte());
          break;
        default:
          receive(/*agree=*/chosen % 6 == 4);
      }
      if (ended_) return;
    }
    settle();
  }

 private:
  static std::string name(unsigned byte) {
    return byte % 8 == 7 ? "*" : std::string(1, static_cast<char>('a' + byte % 8));
  }

  void ask(const xds::DeltaRequest& request) {
    const auto type = xds::type_of_url(request.type_url);
    const auto taken = session_.receive(request);
    MESH_CHECK(type || !taken);
    ended_ |= !taken.has_value();
    if (!type) return;
    asked_[index(*type)] = true;
    auto& waiting = waiting_[index(*type)];
    if (waiting && waiting->nonce == request.response_nonce) waiting.reset();  // well guessed
  }

  void publish(xds::ResourceType type, const std::string& name, unsigned content) {
    auto& resources = world_.resources[index(type)];
    if (content % 4 == 0) {
      resources.erase(name);
    } else {
      const std::string version = std::to_string(content % 4);
      resources[name] = std::make_shared<const Resource>(Resource{name, version, version});
    }
    ++world_.version;
    session_.update(std::make_shared<const Snapshot>(world_));
  }

  // Takes a message if there is one, and answers the oldest that waits. False: nothing to do.
  bool receive(bool agree) {
    if (const auto response = session_.next()) {
      MESH_CHECK(!waiting_[index(response->type)]);  // one in flight per type
      waiting_[index(response->type)] = response->message();
    }
    for (auto& waiting : waiting_) {
      if (!waiting) continue;
      xds::DeltaRequest answer{.type_url = waiting->type_url, .response_nonce = waiting->nonce};
      if (!agree) answer.error = "no";
      waiting.reset();
      MESH_CHECK(session_.receive(answer).has_value());
      return true;
    }
    return false;
  }

  void settle() {
    // A refusal is forgotten with the next snapshot.
    ++world_.version;
    session_.update(std::make_shared<const Snapshot>(world_));
    for (int i = 0; receive(true); ++i) MESH_CHECK(i < 100);
    if (asked_[0] && asked_[1]) MESH_CHECK(session_.is_current());
  }

  static Snapshot first_world() {
    Snapshot world;
    world.version = 1;
    return world;
  }

  static std::size_t index(xds::ResourceType type) { return static_cast<std::size_t>(type); }

  Snapshot world_ = first_world();
  control::AdsSession session_{std::make_shared<const Snapshot>(world_)};
  std::array<std::optional<xds::DeltaResponse>, xds::kResourceTypeCount> waiting_;
  std::array<bool, xds::kResourceTypeCount> asked_{};
  bool ended_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Stream().run(Bytes(data, size));
  return 0;
}
