// The 40 recorded handshakes (test/golden/hbone/tls.txt), replayed: the peer is the library itself,
// set up as the recorded one was.

#include <openssl/err.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "mesh/tls/boringssl.h"
#include "mesh/tls/session.h"
#include "test/support/test_ca.h"

namespace mesh::tls {
namespace {

using test::kTestNow;
using test::LeafOptions;
using test::TestCa;

struct Row {
  std::string name;
  Role ours = Role::kServer;
  std::map<std::string, std::string> peer;
  std::string outcome;
};

std::vector<Row> read_rows() {
  std::ifstream file(std::string(GOLDEN_FOLDER) + "/tls.txt");
  REQUIRE(file.good());
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream in(line);
    Row row;
    std::string word;
    in >> row.name >> word;
    row.ours = word == "accept" ? Role::kServer : Role::kClient;
    while (in >> word && word != "=") {
      const std::size_t equals = word.find('=');
      row.peer[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
    }
    while (in >> word) {
      if (word != "!") row.outcome = word;  // the last: ours
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

const std::string kOurs = "spiffe://cluster.local/ns/web/sa/peer";

LeafOptions leaf_of(const std::string& kind) {
  LeafOptions leaf;
  if (kind == "dns") {
    leaf.names = {"peer.web"};
  } else if (kind == "other-domain") {
    leaf.uris = {"spiffe://other.domain/ns/web/sa/peer"};
  } else if (kind == "other-account") {
    leaf.uris = {"spiffe://cluster.local/ns/web/sa/other"};
  } else if (kind == "extra-path") {
    leaf.uris = {kOurs + "/tail"};
  } else if (kind == "empty-ns") {
    leaf.uris = {"spiffe://cluster.local/ns//sa/peer"};
  } else if (kind == "upper-domain") {
    leaf.uris = {"spiffe://CLUSTER.LOCAL/ns/web/sa/peer"};
  } else if (kind == "two-own") {
    leaf.uris = {kOurs, "spiffe://cluster.local/ns/web/sa/second"};
  } else if (kind == "own-then-foreign") {
    leaf.uris = {kOurs, "spiffe://other.domain/ns/web/sa/peer"};
  } else if (kind == "https-then-own") {
    leaf.uris = {"https://x", kOurs};
  } else if (kind != "no-san") {
    leaf.uris = {kOurs};
  }
  if (kind == "no-eku") leaf.eku = test::Eku::kNone;
  if (kind == "expired") leaf.not_after = kTestNow - std::chrono::hours(1);
  return leaf;
}

struct Peer {
  bssl::UniquePtr<SSL_CTX> context{SSL_CTX_new(TLS_method())};
  bssl::UniquePtr<SSL> ssl;
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  std::string alert;  // what it was told, or said

  Peer(const Row& row, const Credentials& shows) {
    const auto has = [&](const char* key) { return row.peer.contains(key); };
    const bool is_client = row.ours == Role::kServer;
    if (has("version")) SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    if (has("group") && row.peer.at("group") != "x448") {
      REQUIRE(SSL_CTX_set1_groups_list(context.get(), row.peer.at("group").c_str()) == 1);
    }
    if (has("group") && row.peer.at("group") == "x448") {
      REQUIRE(SSL_CTX_set1_groups_list(context.get(), "P-521") == 1);
    }
    if (!is_client || !has("cert")) {
      SSL_CTX_use_certificate(context.get(), shows.chain.leaf().impl().x509.get());
      SSL_CTX_use_PrivateKey(context.get(), shows.key.impl().key.get());
    }
    set_alpn(has("alpn") ? row.peer.at("alpn") : "h2", is_client);
    ssl.reset(SSL_new(context.get()));
    SSL_set_bio(ssl.get(), in, out);
    if (has("sni")) SSL_set_tlsext_host_name(ssl.get(), "peer.web.svc");
    is_client ? SSL_set_connect_state(ssl.get()) : SSL_set_accept_state(ssl.get());
    const bool asks = is_client || !has("cert");
    SSL_set_verify(ssl.get(), asks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                   [](int, X509_STORE_CTX*) { return 1; });
  }

  void set_alpn(const std::string& list, bool is_client) {
    std::string wire;
    std::istringstream in_list(list);
    for (std::string name; std::getline(in_list, name, ',');) {
      wire += static_cast<char>(name.size()) + name;
    }
    if (wire.empty()) return;
    if (is_client) {
      SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const std::uint8_t*>(wire.data()),
                              wire.size());
      return;
    }
    SSL_CTX_set_alpn_select_cb(
        context.get(),
        [](SSL*, const std::uint8_t** chosen, std::uint8_t* size, const std::uint8_t* offered,
           unsigned, void*) {
          *chosen = offered + 1;
          *size = offered[0];
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
  }

  void step() {
    ERR_clear_error();
    std::array<char, 64> nothing{};
    const int status = SSL_is_init_finished(ssl.get())
                           ? SSL_read(ssl.get(), nothing.data(), nothing.size())
                           : SSL_do_handshake(ssl.get());
    if (status > 0) return;
    const std::uint32_t error = ERR_peek_error();
    const int reason = ERR_GET_REASON(error);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
      const char* text = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
      if (alert.empty()) alert = text;
    } else if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_UNSUPPORTED_PROTOCOL) {
      alert = "protocol version";
    }
    ERR_clear_error();
  }
};

std::vector<std::byte> drain(BIO* bio) {
  const std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  BIO_mem_contents(bio, &bytes, &size);
  const auto all = std::as_bytes(std::span(bytes, size));
  std::vector<std::byte> copy(all.begin(), all.end());
  BIO_reset(bio);
  return copy;
}

// secp521r1 becomes x448 in a ClientHello: in the list of groups, which is all a server looks at.
void pretend_x448(std::vector<std::byte>& hello) {
  for (std::size_t i = 0; i + 1 < hello.size(); ++i) {
    if (hello[i] == std::byte{0} && hello[i + 1] == std::byte{0x19} && i > 2 &&
        hello[i - 1] == std::byte{2} && hello[i - 2] == std::byte{0}) {
      hello[i + 1] = std::byte{0x1e};
    }
  }
}

std::string with_underscores(std::string text) {
  for (char& c : text) {
    if (c == ' ') c = '_';
  }
  return text;
}

std::string outcome_of(const Row& row, Session& ours, Peer& peer) {
  std::vector<Slice> heard;
  bool failed_here = false;
  for (int i = 0; i < 6; ++i) {
    peer.step();
    std::vector<std::byte> wire = drain(peer.out);
    if (i == 0 && row.peer.contains("group") && row.peer.at("group") == "x448") pretend_x448(wire);
    if (!wire.empty() && !failed_here) failed_here = !ours.feed(Slice::copy_of(wire), heard);
    std::vector<Piece> out;
    ours.take_output(out);
    for (const Piece& piece : out)
      BIO_write(peer.in, piece.bytes().data(), static_cast<int>(piece.size()));
  }
  if (!peer.alert.empty()) return with_underscores(peer.alert);
  return ours.open() && SSL_is_init_finished(peer.ssl.get()) ? "open" : "nothing";
}

std::string outcome_of_text(Session& ours, const std::string& text) {
  std::vector<Slice> heard;
  CHECK(!ours.feed(Slice::copy_of(std::as_bytes(std::span(text))), heard).has_value());
  std::vector<Piece> out;
  ours.take_output(out);
  REQUIRE(out.size() == 1);
  REQUIRE(out[0].size() == 7);
  const int alert = std::to_integer<int>(out[0].bytes()[6]);
  return with_underscores(SSL_alert_desc_string_long(alert));
}

TEST_CASE("every recorded handshake ends as it did, or more strictly where the list says so") {
  const TestCa ca;
  const TestCa other;  // of the same name
  const std::vector<Row> rows = read_rows();
  CHECK(rows.size() == 40);
  for (const Row& row : rows) {
    INFO(row.name);
    // Deadlines are the tunnel's: "do better 6" in mesh/hbone/tunnel_test.cc.
    if (row.peer.contains("silent")) continue;
    const Credentials own = ca.issue("spiffe://cluster.local/ns/app/sa/server");
    SessionOptions options;
    options.now = kTestNow;
    options.accepted.push_back(net::SpiffeId::parse(kOurs).value());
    const auto context = Context::for_mesh(row.ours, own).value();
    const auto session = Session::create(context, options).value();
    if (row.peer.contains("raw")) {
      CHECK(outcome_of_text(*session, row.peer.at("raw") + " * HTTP/2.0\r\n\r\n") == row.outcome);
      continue;
    }
    const auto kind = row.peer.find("leaf");
    const TestCa& issuer = row.peer.contains("ca") ? other : ca;
    const Credentials shows =
        issuer.issue(leaf_of(kind == row.peer.end() ? std::string() : kind->second));
    Peer peer(row, shows);
    CHECK(outcome_of(row, *session, peer) == row.outcome);
    if (row.peer.contains("resume")) CHECK(SSL_session_reused(peer.ssl.get()) == 0);
  }
}

std::uint16_t u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

TEST_CASE("our ClientHello offers what the recorded one does, and nothing that it does not") {
  const TestCa ca;
  SessionOptions options;
  options.now = kTestNow;
  const auto context = Context::for_mesh(Role::kClient, ca.issue(kOurs)).value();
  const auto session = Session::create(context, options).value();
  std::vector<Piece> out;
  session->take_output(out);
  REQUIRE(!out.empty());
  const auto bytes = out[0].bytes();
  const std::span<const std::uint8_t> hello(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                            bytes.size());
  // record 5, message 4, version 2, random 32, session id 1 + 32
  CHECK(hello[43] == 32);
  std::size_t at = 44 + 32;
  CHECK(u16(hello, at) == 4);  // two suites
  CHECK(u16(hello, at + 2) == 0x1302);
  CHECK(u16(hello, at + 4) == 0x1301);
  at += 6 + 2;  // and one compression method
  std::map<std::uint16_t, std::vector<std::uint8_t>> extensions;
  for (at += 2; at + 4 <= hello.size();) {
    const std::uint16_t size = u16(hello, at + 2);
    extensions[u16(hello, at)] = {hello.begin() + static_cast<std::ptrdiff_t>(at + 4),
                                  hello.begin() + static_cast<std::ptrdiff_t>(at + 4 + size)};
    at += 4 + size;
  }
  using Bytes = std::vector<std::uint8_t>;
  CHECK(!extensions.contains(0));   // server_name
  CHECK(!extensions.contains(35));  // session_ticket
  CHECK(!extensions.contains(41));  // pre_shared_key
  CHECK(extensions.at(43) == Bytes{2, 3, 4});
  CHECK(extensions.at(16) == Bytes{0, 3, 2, 'h', '2'});
  CHECK(extensions.at(10) == Bytes{0, 8, 0, 0x1d, 0, 0x17, 0, 0x18, 0x11, 0xec});
  CHECK(extensions.at(13) ==
        Bytes{0, 20, 5, 3, 4, 3, 6, 3, 8, 7, 8, 6, 8, 5, 8, 4, 6, 1, 5, 1, 4, 1});
  CHECK(extensions.at(51).size() == 38);  // one share, X25519
  CHECK(extensions.at(51)[3] == 0x1d);
}

}  // namespace
}  // namespace mesh::tls
