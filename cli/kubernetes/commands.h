#pragma once
// The subcommands that work on a Kubernetes cluster.

namespace CLI {
class App;
}

namespace mesh::cli {

struct Session;

void add_kubernetes_commands(CLI::App& weft, Session& session);

}  // namespace mesh::cli
