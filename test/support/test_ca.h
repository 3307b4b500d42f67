#pragma once
// A certificate authority for tests: issues good leaves, and each kind of bad one.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "mesh/tls/certificate.h"
#include "mesh/tls/context.h"
#include "mesh/tls/key.h"

namespace mesh::test {

// 2026-01-01T00:00:00Z: "now" of tests that do not ask the clock.
inline constexpr tls::WallSeconds kTestNow{std::chrono::seconds(1767225600)};

enum class Eku : std::uint8_t { kBoth, kClient, kServer, kNone };

struct LeafOptions {
  std::vector<std::string> uris{};       // URI SANs
  std::vector<std::string> names{};      // DNS SANs
  std::vector<std::string> addresses{};  // IP SANs
  tls::WallSeconds not_before = kTestNow - std::chrono::minutes(1);
  tls::WallSeconds not_after = kTestNow + std::chrono::hours(24);
  Eku eku = Eku::kBoth;
  bool is_ca = false;
  bool through_intermediate = false;  // leaf <- intermediate <- root
};

class TestCa {
 public:
  // Two authorities of one name have different keys.
  explicit TestCa(const std::string& organisation = "cluster.local");
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  tls::TrustBundle bundle() const;
  // Credentials that trust this authority. Aborts the test on failure.
  tls::Credentials issue(const LeafOptions& options) const;
  // The common case: one URI SAN. `now` is the middle of its validity for LeafOptions' defaults.
  tls::Credentials issue(const std::string& spiffe_uri) const;
  // Answers a signing request as the CA service does: leaf, then the root. PEM. `now` decides
  // validity.
  std::vector<std::string> sign_request(const std::string& csr_pem, tls::WallSeconds now,
                                        std::chrono::seconds lifetime) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::test
