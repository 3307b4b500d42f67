#pragma once
// The world: what the manifests and the mesh's configuration say, as one immutable value with a
// number. Everything that control sends is a pure function of a World and the Settings.

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "control/ordered_map.h"
#include "mesh/manifest/mesh_config.h"
#include "mesh/manifest/objects.h"

namespace mesh::control {

struct Settings {
  std::string trust_domain = "cluster.local";
  std::vector<std::string> trust_domain_aliases = {};  // whose identities count as ours
  std::string cluster_id = "Kubernetes";
  std::string cluster_domain = "cluster.local";
  std::string root_namespace = "istio-system";
  // What is wrong with annotations that who configures waypoints reads, for an object's status.
  std::vector<std::string> (*annotation_faults)(manifest::Kind,
                                                const manifest::Metadata&) = nullptr;
};

// What somebody asked a World for: what else changes does not matter to them.
struct WorldReads {
  std::set<manifest::Kind> kinds;                               // all objects
  std::set<std::pair<manifest::Kind, std::string>> namespaces;  // those of one namespace
  std::set<manifest::ObjectKey> objects;                        // there or not
  bool mesh = false;                                            // the mesh's configuration
  bool everything = false;
};

using Objects = OrderedMap<manifest::ObjectKey, std::shared_ptr<const manifest::Object>>;

class World {
 public:
  World() = default;
  // `mesh`: null: nothing is configured.
  explicit World(Objects objects, std::shared_ptr<const manifest::MeshConfig> mesh = nullptr)
      : objects_(std::move(objects)), mesh_(std::move(mesh)) {}

  // The same world, whose readers are written down. `reads` outlives it.
  World watched(WorldReads& reads) const {
    World world(objects_, mesh_);
    world.reads_ = &reads;
    return world;
  }

  const Objects& objects() const {
    if (reads_ != nullptr) reads_->everything = true;
    return objects_;
  }

  // Valid as long as this world, or one that has_mesh_of() it.
  const manifest::MeshConfig& mesh() const;
  bool has_mesh_of(const World& other) const { return mesh_ == other.mesh_; }
  // The same mesh's configuration with other objects, and the other way round.
  World with(Objects objects) const { return World(std::move(objects), mesh_); }
  World with(std::shared_ptr<const manifest::MeshConfig> mesh) const {
    return World(objects_, std::move(mesh));
  }

  // All objects of a kind, ordered by namespace and name.
  //   for (const manifest::Pod* pod : world.all<manifest::Pod>())
  template <class T>
  std::vector<const T*> all() const {
    if (reads_ != nullptr) reads_->kinds.insert(kind_of<T>());
    std::vector<const T*> all;
    for_each(kind_of<T>(), nullptr,
             [&](const auto& entry) { all.push_back(&std::get<T>(*entry.second)); });
    return all;
  }

  // Those of one namespace, ordered by name.
  template <class T>
  std::vector<const T*> all_in(const std::string& ns) const {
    if (reads_ != nullptr) reads_->namespaces.emplace(kind_of<T>(), ns);
    std::vector<const T*> all;
    for_each(kind_of<T>(), &ns,
             [&](const auto& entry) { all.push_back(&std::get<T>(*entry.second)); });
    return all;
  }

  // nullptr when there is none.
  template <class T>
  const T* find(std::string_view ns, std::string_view name) const {
    const manifest::ObjectKey key{kind_of<T>(), std::string(ns), std::string(name)};
    if (reads_ != nullptr) reads_->objects.insert(key);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : &std::get<T>(*found->second);
  }

 private:
  template <class T>
  static constexpr manifest::Kind kind_of() {
    return static_cast<manifest::Kind>(manifest::Object(T{}).index());
  }

  template <class F>
  void for_each(manifest::Kind kind, const std::string* ns, F&& visit) const {
    const manifest::ObjectKey first{kind, ns == nullptr ? "" : *ns, ""};
    for (auto it = objects_.lower_bound(first);
         it != objects_.end() && it->first.kind == kind && (ns == nullptr || it->first.ns == *ns);
         ++it) {
      visit(*it);
    }
  }

  Objects objects_;
  std::shared_ptr<const manifest::MeshConfig> mesh_;
  WorldReads* reads_ = nullptr;
};

// "istio.io/dataplane-mode", or its synonym "weft.dev/dataplane-mode"; "" when neither is there.
std::string_view mesh_label(const manifest::Metadata& metadata, std::string_view suffix);

// Every label of `selector` is among `labels`. An empty selector selects everything.
bool selects(const manifest::Labels& selector, const manifest::Labels& labels);

// The pod's traffic goes through the mesh: its redirection is on (annotation), or it is to be
// (label of the pod, else of its namespace). Sidecars and host-network pods never are.
bool is_enrolled(const World& world, const manifest::Pod& pod);

// The pod is there for the mesh: it has an address and has not ended.
bool is_running(const manifest::Pod& pod);
bool has_ended(const manifest::Pod& pod);

}  // namespace mesh::control
