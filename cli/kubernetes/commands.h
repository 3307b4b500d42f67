#pragma once
// The subcommands that work on a Kubernetes cluster.

namespace CLI {
class App;
}

namespace mesh::cli {

struct Session;

// --kubeconfig, --context, and --lab; -o. For the others' subcommands, too.
void add_cluster_choice(CLI::App& command, Session& session);
void add_output(CLI::App& command, Session& session);

void add_kubernetes_commands(CLI::App& weft, Session& session);

}  // namespace mesh::cli
