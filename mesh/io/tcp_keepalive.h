#pragma once
// When the kernel asks an idle peer whether it is still there; 0: the system's own figure.

namespace mesh::io {

struct TcpKeepalive {
  unsigned idle_s = 0;
  unsigned interval_s = 0;
  unsigned probes = 0;
};

}  // namespace mesh::io
