#pragma once
// Which API server to talk to, and how to show who we are: from inside a cluster, or from a
// kubeconfig. TLS verification cannot be switched off; credentials that need a program to be run
// (exec, auth-provider) are refused by name.
//
// Credentials that are files are read again when they change: projected tokens and roots rotate.
//
// Limits: a kubeconfig of 1 MiB, any other file of 64 KiB.

#include <expected>
#include <string>
#include <string_view>

namespace mesh::kube {

// A secret or certificate: given as it is, or as the file it is in.
struct Material {
  std::string text;
  std::string file;

  bool empty() const { return text.empty() && file.empty(); }
  // The text, from the file when there is one.
  std::expected<std::string, std::string> read() const;
};

struct Access {
  std::string server;  // "https://HOST[:PORT]", without a slash at its end
  Material ca;
  Material token;
  Material certificate, key;  // of the client
  std::string ns = "default";
};

using AccessResult = std::expected<Access, std::string>;

// `text` is a kubeconfig; relative paths in it are from `folder`. `context`: empty: the current
// one. Pure.
AccessResult read_kubeconfig(std::string_view text, std::string_view folder,
                             std::string_view context);

AccessResult load_kubeconfig(const std::string& path, std::string_view context = {});

// From the service account's projected volume and KUBERNETES_SERVICE_HOST and _PORT.
AccessResult in_cluster();

}  // namespace mesh::kube
