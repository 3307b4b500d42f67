#pragma once
// Objects to reason about, from files or from a cluster, and where each of them is written.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"
#include "mesh/manifest/objects.h"
#include "mesh/manifest/parse.h"

namespace mesh::cli {

class Cluster;

struct Place {
  std::string file = {};  // empty: in the cluster
  unsigned line = 0;
  // Not empty: the object is refused as it is written, and this is what holds. What there is of it
  // then is its stand-in (mesh/manifest/stand_in.h).
  std::string refused = {};
};

template <class T>
struct Placed {
  const T* object = nullptr;
  const Place* place = nullptr;

  const T* operator->() const { return object; }
};

class Inventory {
 public:
  // What cannot be read becomes a problem, and what stands for it counts, as with control. The
  // template of a Deployment and the like counts as a
  // pod that is ready, since its pods are not written anywhere.
  void add_file(const std::string& file, std::string_view text);
  // Every object of the kinds that we read. Errors: the server refuses.
  Outcome<Done> add_cluster(Cluster& cluster);

  template <class T>
  std::vector<Placed<T>> all() const {
    std::vector<Placed<T>> all;
    const auto kind = kind_of<T>();
    for (auto it = entries_.lower_bound({kind, "", ""});
         it != entries_.end() && it->first.kind == kind; ++it) {
      all.push_back({&std::get<T>(it->second.object), &it->second.place});
    }
    return all;
  }

  // nullptr when there is none.
  template <class T>
  const T* find(std::string_view ns, std::string_view name) const {
    const auto found = entries_.find({kind_of<T>(), std::string(ns), std::string(name)});
    return found == entries_.end() ? nullptr : &std::get<T>(found->second.object);
  }

  const std::vector<manifest::Problem>& problems() const { return problems_; }
  std::size_t size() const { return entries_.size(); }
  // Whether it is known what pods there are: else what selects none may do so elsewhere.
  bool knows_pods() const { return knows_pods_; }
  bool knows_namespaces() const { return knows_namespaces_; }
  // Where the policies for the whole mesh are: what a weft-control among the pods is started with;
  // without one istio-system or weft-system may be it.
  bool is_root(std::string_view ns) const;
  std::string trust_domain() const {
    return trust_domain_.empty() ? "TRUST_DOMAIN" : trust_domain_;
  }
  std::string root() const { return root_.empty() ? "istio-system" : root_; }

 private:
  struct Entry {
    manifest::Object object;
    Place place;
  };

  template <class T>
  static manifest::Kind kind_of() {
    static const auto kKind = static_cast<manifest::Kind>(manifest::Object(T{}).index());
    return kKind;
  }
  void add(manifest::Object object, Place place);
  // `said`: by control, of what holds of an object that is broken; empty: nobody has said it.
  void add_parsed(manifest::Parsed parsed, const std::string& file, const std::string& said);

  std::map<manifest::ObjectKey, Entry> entries_;
  std::vector<manifest::Problem> problems_;
  bool knows_pods_ = false;
  bool knows_namespaces_ = false;
  std::string root_, trust_domain_;  // empty: nobody has said it
};

// "istio.io/SUFFIX", or its synonym "weft.dev/SUFFIX"; "" when neither is there.
std::string_view mesh_label(const manifest::Metadata& metadata, std::string_view suffix);

// Every label of `selector` is among `labels`.
bool selects(const manifest::Labels& selector, const manifest::Labels& labels);

// Which label says that the pod is to be in the mesh, or not: "pod", "namespace" or "" for none.
struct Enrolment {
  bool enrolled = false;
  std::string_view by = "";
};
Enrolment enrolment_of(const Inventory& all, const manifest::Pod& pod);

bool is_waypoint(const manifest::Gateway& gateway);

// The waypoint that an object's label, or else its namespace's, names.
struct WaypointChoice {
  std::string ns, name;
  bool by_object = false;
};
std::optional<WaypointChoice> waypoint_choice(const Inventory& all,
                                              const manifest::Metadata& object);

}  // namespace mesh::cli
