#include "mesh/workload/endpoint_set.h"

namespace mesh::workload {

EndpointSet::~EndpointSet() {
  for (const Node* one = tables_.load(); one != nullptr;) delete std::exchange(one, one->next);
}

const EndpointTable* EndpointSet::add_table(EndpointTable table) const {
  auto node = std::make_unique<Node>(std::move(table));
  const Node* first = tables_.load(std::memory_order_acquire);
  do {
    node->next = first;
    node->number = first == nullptr ? 1 : first->number + 1;
    if (node->number > kTablesMax) return nullptr;
  } while (!tables_.compare_exchange_weak(first, node.get(), std::memory_order_acq_rel));
  return &node.release()->table;
}

}  // namespace mesh::workload
