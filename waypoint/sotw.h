#pragma once
// Sotw: state-of-the-world ADS for who speaks delta: DeltaState's requests become the other's, and
// what is answered becomes the difference to what was known. No I/O.

#include <map>
#include <optional>
#include <set>
#include <string>

#include "mesh/xds/sotw_codec.h"

namespace mesh::waypoint {

class Sotw {
 public:
  // A stream is new: nonces of before mean nothing. What is known stays, to tell what is gone.
  void connected();

  // None: nothing to say now (names go with the answer that is still due).
  std::optional<xds::SotwRequest> translate(const xds::DeltaRequest& request);
  // What changed: listeners and clusters that are not named are gone; of the other types, those
  // that are not named stay as they are.
  xds::DeltaResponse translate(const xds::SotwResponse& response);

 private:
  struct Type {
    std::set<std::string> names;                  // asked for
    std::string accepted;                         // version
    std::string nonce;                            // of the newest response
    bool answered = true;                         // that one
    std::map<std::string, std::string> versions;  // of responses by nonce, until they are answered
    std::map<std::string, std::size_t> known;     // hash of the bytes by name; 0: it was refused
  };
  std::map<std::string, Type> types_;
};

}  // namespace mesh::waypoint
