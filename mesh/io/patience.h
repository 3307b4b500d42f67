#pragma once
// Patience: what spares a message its second system call.
//
// A small send is done as soon as it is submitted, and whoever waits for it mostly does nothing
// then but wait for the next message. So he may be told of a success together with whatever wakes
// the loop next, unless he says, when the loop is about to sleep, that he has more to do. A send
// that did not take everything at once is told of at once.

namespace mesh::io {

// Lives as long as the send. Asked from the loop, outside any coroutine: must not change anything.
class Patience {
 public:
  // True: something has come up that the caller would do now, were the send done.
  virtual bool has_more_to_do() const noexcept = 0;

 protected:
  ~Patience() = default;
};

}  // namespace mesh::io
