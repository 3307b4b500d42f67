#pragma once
// PersistentMap<K, V>: a hash map whose copies are free and share what they have in common.
//
// A hash trie with 32-way nodes. Copying a map copies one pointer; changing a copy copies only the
// nodes on the way to the changed entry, and only those which another map still sees. A snapshot is
// therefore a copy, and the next snapshot costs what changed in it.
//
// Threads: a map that is not changed may be read by any thread; nodes are counted atomically. A map
// object itself is like any other value: one writer, and no reader beside it.
// Cost: find() is a few dependent loads; set() and erase() copy at most about 7 small nodes.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "mesh/base/check.h"

namespace mesh {

template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<>>
class PersistentMap {
 public:
  PersistentMap() = default;

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Borrows from the map (and from every copy that still shares the entry). `key` may be anything
  // that Hash and Equal take.
  template <class Q>
  const V* find(const Q& key) const {
    return find_hashed(mixed(Hash{}(key)), key);
  }

  // Adds or replaces.
  void set(K key, V value) {
    const std::uint64_t hash = mixed(Hash{}(key));
    Ref entry = Ref::adopt(new Entry(hash, std::move(key), std::move(value)));
    if (!root_) root_ = Ref::adopt(Branch::make(0));
    if (set_in(root_, std::move(entry), 0)) ++size_;
  }

  // False when there was none.
  template <class Q>
  bool erase(const Q& key) {
    if (find(key) == nullptr) return false;
    erase_in(root_, mixed(Hash{}(key)), key, 0);
    if (--size_ == 0) root_ = Ref();
    return true;
  }

  // Calls visit(key, value) for each entry, in an order that depends on the hashes only.
  template <class F>
  void for_each(F&& visit) const {
    if (root_) visit_all(*root_.get(), visit);
  }

 private:
  static constexpr unsigned kBits = 5;
  static constexpr unsigned kDeepest = 60;  // bits of the hash that branches may consume

  enum class Kind : std::uint8_t { kBranch, kEntry, kCollision };

  struct Node {
    explicit Node(Kind node_kind) : kind(node_kind) {}
    std::atomic<std::uint32_t> references{1};
    Kind kind;
  };

  // A counted pointer to a Node; the type is in the node, so that nodes need no virtual table.
  class Ref {
   public:
    Ref() = default;
    static Ref adopt(Node* node) {
      Ref ref;
      ref.node_ = node;
      return ref;
    }
    Ref(const Ref& other) : node_(other.node_) {
      if (node_ != nullptr) node_->references.fetch_add(1, std::memory_order_relaxed);
    }
    Ref(Ref&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~Ref() { release(node_); }

    explicit operator bool() const { return node_ != nullptr; }
    Node* get() const { return node_; }
    // Only we see it, so it may be changed in place. (A node whose parent is shared is never asked:
    // the parent was copied first, and that counted this node once more.)
    bool unique() const { return node_->references.load(std::memory_order_acquire) == 1; }

   private:
    static void release(Node* node) {
      if (node == nullptr) return;
      if (node->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      switch (node->kind) {
        case Kind::kBranch:
          Branch::destroy(static_cast<Branch*>(node));
          break;
        case Kind::kEntry:
          delete static_cast<Entry*>(node);
          break;
        case Kind::kCollision:
          delete static_cast<Collision*>(node);
          break;
      }
    }
    Node* node_ = nullptr;
  };

  // One child for each set bit, in order, right behind the node: a lookup that misses the cache
  // misses it once a level.
  struct alignas(Ref) Branch : Node {
    std::uint32_t bitmap;
    std::size_t count() const { return static_cast<std::size_t>(std::popcount(bitmap)); }
    Ref* children() { return reinterpret_cast<Ref*>(this + 1); }
    const Ref* children() const { return reinterpret_cast<const Ref*>(this + 1); }

    // All children null.
    static Branch* make(std::uint32_t bits) {
      const auto size = static_cast<std::size_t>(std::popcount(bits)) * sizeof(Ref);
      auto* made = ::new (::operator new(sizeof(Branch) + size)) Branch(bits);
      for (std::size_t i = 0; i < made->count(); ++i) ::new (made->children() + i) Ref();
      return made;
    }
    static void destroy(Branch* node) {
      for (std::size_t i = 0; i < node->count(); ++i) node->children()[i].~Ref();
      node->~Branch();
      ::operator delete(node);
    }

   private:
    explicit Branch(std::uint32_t bits) : Node(Kind::kBranch), bitmap(bits) {}
  };
  static_assert(sizeof(Ref) == sizeof(void*));
  static_assert(sizeof(Branch) % alignof(Ref) == 0);
  struct Entry : Node {
    Entry(std::uint64_t h, K&& k, V&& v)
        : Node(Kind::kEntry), hash(h), key(std::move(k)), value(std::move(v)) {}
    std::uint64_t hash;
    K key;
    V value;
  };
  // Entries whose whole hashes are equal.
  struct Collision : Node {
    Collision() : Node(Kind::kCollision) {}
    Collision(const Collision& other) : Node(Kind::kCollision), entries(other.entries) {}
    std::vector<Ref> entries;
  };

  static Branch* branch(const Ref& ref) { return static_cast<Branch*>(ref.get()); }
  static Entry* entry_of(const Ref& ref) { return static_cast<Entry*>(ref.get()); }
  static Collision* collision(const Ref& ref) { return static_cast<Collision*>(ref.get()); }

  // std::hash of an integer is often the integer.
  static std::uint64_t mixed(std::uint64_t hash) {
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 29);
  }
  static std::uint32_t bit_of(std::uint64_t hash, unsigned shift) {
    return 1u << ((hash >> shift) & 31u);
  }
  static std::size_t index_of(std::uint32_t bitmap, std::uint32_t bit) {
    return static_cast<std::size_t>(std::popcount(bitmap & (bit - 1)));
  }

  template <class Q>
  const V* find_hashed(std::uint64_t hash, const Q& key) const {
    const Node* node = root_.get();
    for (unsigned shift = 0; node != nullptr; shift += kBits) {
      if (node->kind == Kind::kEntry) {
        const auto* entry = static_cast<const Entry*>(node);
        return entry->hash == hash && Equal{}(entry->key, key) ? &entry->value : nullptr;
      }
      if (node->kind == Kind::kCollision) {
        for (const Ref& ref : static_cast<const Collision*>(node)->entries) {
          const Entry* entry = entry_of(ref);
          if (entry->hash == hash && Equal{}(entry->key, key)) return &entry->value;
        }
        return nullptr;
      }
      const auto* here = static_cast<const Branch*>(node);
      const std::uint32_t bit = bit_of(hash, shift);
      if ((here->bitmap & bit) == 0) return nullptr;
      node = here->children()[index_of(here->bitmap, bit)].get();
    }
    return nullptr;
  }

  // `slot` becomes a node that only we see. True if a key was added, false if one was replaced.
  static bool set_in(Ref& slot, Ref added, unsigned shift) {
    Entry* entry = entry_of(added);
    switch (slot.get()->kind) {
      case Kind::kBranch: {
        const std::uint32_t bit = bit_of(entry->hash, shift);
        const bool taken = (branch(slot)->bitmap & bit) != 0;
        if (!taken || !slot.unique()) slot = with_bits(slot, branch(slot)->bitmap | bit);
        Ref& child = branch(slot)->children()[index_of(branch(slot)->bitmap, bit)];
        if (taken) return set_in(child, std::move(added), shift + kBits);
        child = std::move(added);
        return true;
      }
      case Kind::kEntry: {
        const Entry* old = entry_of(slot);
        if (old->hash == entry->hash && Equal{}(old->key, entry->key)) {
          slot = std::move(added);
          return false;
        }
        slot = joined(std::move(slot), std::move(added), shift);
        return true;
      }
      case Kind::kCollision:
        break;
    }
    if (collision_hash(slot) != entry->hash) {
      slot = joined(std::move(slot), std::move(added), shift);
      return true;
    }
    if (!slot.unique()) slot = Ref::adopt(new Collision(*collision(slot)));
    for (Ref& ref : collision(slot)->entries) {
      if (!Equal{}(entry_of(ref)->key, entry->key)) continue;
      ref = std::move(added);
      return false;
    }
    collision(slot)->entries.push_back(std::move(added));
    return true;
  }

  // The branch again, with children for `bits`: those that it had (moved, if only we see it), and
  // null for new ones.
  static Ref with_bits(const Ref& from, std::uint32_t bits) {
    const bool is_ours = from.unique();
    Branch* old = branch(from);
    Branch* made = Branch::make(bits);
    for (std::uint32_t both = old->bitmap & bits; both != 0; both &= both - 1) {
      const std::uint32_t bit = both & -both;
      Ref& child = old->children()[index_of(old->bitmap, bit)];
      made->children()[index_of(bits, bit)] = is_ours ? std::move(child) : child;
    }
    return Ref::adopt(made);
  }

  static std::uint64_t collision_hash(const Ref& ref) {
    return entry_of(collision(ref)->entries.front())->hash;
  }

  // A subtree of two leaves of different keys.
  static Ref joined(Ref a, Ref b, unsigned shift) {
    const std::uint64_t hash_a =
        a.get()->kind == Kind::kEntry ? entry_of(a)->hash : collision_hash(a);
    const std::uint64_t hash_b = entry_of(b)->hash;
    if (hash_a == hash_b || shift > kDeepest) {
      auto* both = new Collision();
      both->entries.push_back(std::move(a));
      both->entries.push_back(std::move(b));
      return Ref::adopt(both);
    }
    const std::uint32_t bit_a = bit_of(hash_a, shift);
    const std::uint32_t bit_b = bit_of(hash_b, shift);
    Branch* here = Branch::make(bit_a | bit_b);
    if (bit_a == bit_b) {
      here->children()[0] = joined(std::move(a), std::move(b), shift + kBits);
    } else {
      here->children()[bit_a < bit_b ? 0 : 1] = std::move(a);
      here->children()[bit_a < bit_b ? 1 : 0] = std::move(b);
    }
    return Ref::adopt(here);
  }

  // `key` is there. Afterwards `slot` is null if its subtree is empty.
  template <class Q>
  static void erase_in(Ref& slot, std::uint64_t hash, const Q& key, unsigned shift) {
    if (slot.get()->kind == Kind::kEntry) {
      slot = Ref();
      return;
    }
    if (slot.get()->kind == Kind::kCollision) {
      if (!slot.unique()) slot = Ref::adopt(new Collision(*collision(slot)));
      std::vector<Ref>& entries = collision(slot)->entries;
      std::erase_if(entries, [&](const Ref& ref) { return Equal{}(entry_of(ref)->key, key); });
      if (entries.size() == 1) slot = Ref(entries.front());
      return;
    }
    if (!slot.unique()) slot = with_bits(slot, branch(slot)->bitmap);
    const std::uint32_t bit = bit_of(hash, shift);
    Ref& child = branch(slot)->children()[index_of(branch(slot)->bitmap, bit)];
    erase_in(child, hash, key, shift + kBits);
    if (!child) slot = with_bits(slot, branch(slot)->bitmap & ~bit);
    if (shift == 0) return;
    if (branch(slot)->count() == 0) {
      slot = Ref();
    } else {
      lift_lone_leaf(slot);
    }
  }

  // A branch that leads to one leaf only is that leaf.
  static void lift_lone_leaf(Ref& slot) {
    const Branch* here = branch(slot);
    if (here->count() == 1 && here->children()[0].get()->kind != Kind::kBranch) {
      slot = Ref(here->children()[0]);
    }
  }

  template <class F>
  static void visit_all(const Node& node, F& visit) {
    switch (node.kind) {
      case Kind::kBranch: {
        const auto& here = static_cast<const Branch&>(node);
        for (std::size_t i = 0; i < here.count(); ++i) visit_all(*here.children()[i].get(), visit);
        return;
      }
      case Kind::kEntry: {
        const auto& entry = static_cast<const Entry&>(node);
        visit(entry.key, entry.value);
        return;
      }
      case Kind::kCollision:
        for (const Ref& ref : static_cast<const Collision&>(node).entries) {
          visit_all(*ref.get(), visit);
        }
    }
  }

  Ref root_;
  std::size_t size_ = 0;
};

}  // namespace mesh
