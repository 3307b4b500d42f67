#pragma once
// Questions for names, as pods ask them, and the name server of the world outside.
//
// A name of the mesh is answered by the mesh and by nobody else; any other one as the server
// outside says, if it says anything.

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "mesh/io/socket.h"
#include "mesh/io/task_scope.h"
#include "test/sim/model.h"

namespace mesh::sim {

struct Name {
  int from = 0;  // which pod asks
  std::string text;
  bool v6 = false;
  net::IpAddress right = {};  // its one address
  unsigned tries = 1;
  bool must = true;    // be answered, if asked for often enough
  bool heard = false;  // something, were it a failure
  bool over = false, answered = false;
};

// So often a pod asks that has patience. Fewer questions than that may be lost by bad luck.
inline constexpr unsigned kPatientTries = 5;

inline constexpr const char* kNameServer = "10.96.0.10";  // as a pod's resolv.conf has it
// Every name that ends so is the world's, and has these addresses.
inline constexpr const char* kElsewhere = ".elsewhere.test";
inline constexpr const char* kElsewhereV4 = "203.0.113.7";
inline constexpr const char* kElsewhereV6 = "2001:db8::7";

// Until there is an answer, once for each try: waits for it for three seconds, and for a second
// after a failure. Finds what it should not hear.
io::Task<void> ask_for(io::Ring& ring, net::IpAddress own, Name& name, Findings& findings);

// The server outside: answers, or says nothing.
class NameServer {
 public:
  explicit NameServer(Findings& findings) : findings_(findings) {}
  // Until cancelled.
  io::Task<void> serve(io::Ring& ring);
  bool silent = false;

 private:
  std::string answer(std::string_view question);
  Findings& findings_;
};

}  // namespace mesh::sim
