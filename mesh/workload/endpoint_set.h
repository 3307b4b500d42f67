#pragma once
// The members of one service, and the tables that choosing among many of them needs. A table
// answers one question (which port, asked from where, by which preferences) for as long as the
// members stay what they are; snapshots that did not change them share the set with its tables.
//
// Threads: any number may read one and add tables to it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mesh/base/persistent_map.h"
#include "mesh/policy/policy_index.h"
#include "mesh/workload/workload.h"

namespace mesh::workload {

// One member of a service. `workload` and `membership` are never null.
struct Endpoint {
  WorkloadPtr workload = {};
  std::uint32_t membership_index = 0;

  const Membership& membership() const { return workload->services[membership_index]; }
};

// What is asked, as far as the answer depends on it.
struct EndpointQuestion {
  LoadBalancing balancing = {};
  std::optional<Port> service_port = {};
  std::uint16_t port = 0;
  std::string network, cluster_id, node, region, zone, subzone;  // of the caller

  friend bool operator==(const EndpointQuestion&, const EndpointQuestion&) = default;
};

// Those that may be chosen, of the best rank, by weight.
struct EndpointTable {
  struct Slot {
    std::uint64_t until = 0;  // the weights up to and with this one
    const Endpoint* endpoint = nullptr;
    std::uint16_t target_port = 0;
  };
  EndpointQuestion question;
  std::vector<Slot> slots = {};
};

class EndpointSet {
 public:
  using Members = PersistentMap<std::string, Endpoint, policy::TextHash>;  // by uid

  explicit EndpointSet(Members members) : members_(std::move(members)) {}
  ~EndpointSet();
  EndpointSet(const EndpointSet&) = delete;
  EndpointSet& operator=(const EndpointSet&) = delete;

  const Members& members() const { return members_; }

  // The table that `is_it(question)` means; null: there is none yet.
  template <class F>
  const EndpointTable* find_table(F&& is_it) const {
    for (const Node* one = tables_.load(std::memory_order_acquire); one != nullptr;
         one = one->next) {
      if (is_it(one->table.question)) return &one->table;
    }
    return nullptr;
  }
  // Keeps a table; null when there are kTablesMax already. Two that answer the same question, built
  // at once by two threads, do no harm.
  static constexpr std::size_t kTablesMax = 16;
  const EndpointTable* add_table(EndpointTable table) const;
  bool has_room_for_table() const {
    const Node* first = tables_.load(std::memory_order_acquire);
    return first == nullptr || first->number < kTablesMax;
  }

 private:
  struct Node {
    EndpointTable table;
    std::size_t number = 0;  // of tables, with this one
    const Node* next = nullptr;
  };

  const Members members_;
  mutable std::atomic<const Node*> tables_ = nullptr;
};
using EndpointSetPtr = std::shared_ptr<const EndpointSet>;

}  // namespace mesh::workload
