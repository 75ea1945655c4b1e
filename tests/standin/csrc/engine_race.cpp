// The race detector. A block counts as one agent: its barriers order what is inside it.
//
// Each 4-byte word has a cell with the numbers of its last writer and reader. A number stands for one block in one
// epoch (an epoch ends at a fence or an atomic); numbers only grow, so those of earlier launches need no clearing. A
// number may also stand for a set of readers, or for four cells, one for each byte, once a narrow access has touched
// the word.
//
// Between blocks, a load may see a store, and a store may follow a store, only through fence, atomic, atomic on the
// same address, fence. A store may follow a load through any chain of atomics. Atomics never race with atomics.
#include <algorithm>
#include <array>
#include <cstdio>
#include <unordered_map>

#include "engine_state.h"

namespace cuda_on_cpu::engine {

u32 first_id = 1;

namespace {

constexpr u32 kAtomic = 1u << 31;  // in a cell's writer: the store was an atomic's
constexpr u32 kMostIds = 1u << 30;
constexpr u32 kReaders = ~0u, kBytes = ~0u - 1;  // in place of a block

struct Id {
  u32 block;
  u32 value;  // its epoch, or an index into `reader_sets` or `byte_cells`
};

// The latest epoch of each block that read a word. Thousands of blocks read a table's row.
struct Readers {
  std::vector<u32> numbers;
  std::vector<bool> has;  // by block

  void add(u32 number, u32 block) {
    if (block >= has.size()) has.resize(std::max<size_t>(block + 1, 2 * has.size()));
    if (has[block]) {
      size_t i = numbers.size() - 1;  // blocks in flight are near the end
      while (block_of(numbers[i]) != block) i--;
      numbers[i] = number;
    } else {
      has[block] = true;
      numbers.push_back(number);
    }
  }

  static u32 block_of(u32 number);
};

// What atomics on one address have handed on.
struct Baton {
  Clock released, after;
};

std::vector<Id> ids;  // from first_id
std::vector<Readers> reader_sets;
std::vector<std::array<Cell, 4>> byte_cells;
std::unordered_map<const void*, Baton> batons;

u32 new_id(u32 block, u32 value) {
  ids.push_back({block, value});
  return first_id + ids.size() - 1;
}

const Id& id_of(u32 number) { return ids[(number & ~kAtomic) - first_id]; }
u32 Readers::block_of(u32 number) { return id_of(number).block; }
bool is_present(u32 number) { return (number & ~kAtomic) >= first_id; }
u32 at(const Clock& clock, u32 block) { return block < clock.size() ? clock[block] : 0; }

void raise(Clock& clock, u32 block, u32 epoch) {
  if (block >= clock.size()) clock.resize(block + 1);
  if (clock[block] < epoch) clock[block] = epoch;
}

void merge(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (size_t i = 0; i < from.size(); i++) into[i] = std::max(into[i], from[i]);
}

void begin_epoch(Order& order) { order.id = new_id(order.block, ++order.epoch); }

[[noreturn]] void race(const void* p, Access kind, const char* earlier, const Id& other, const char* missing) {
  const char* now = kind == Access::load ? "loads" : kind == Access::store ? "stores to" : "does an atomic on";
  char address[32];
  snprintf(address, sizeof address, "%p", p);
  stop(kLaunchFailed, std::string("race: it ") + now + " " + address + ", " + describe_address(p) + ", which " +
                          block_name(other.block) + " " + earlier + " in the same launch, without " + missing +
                          " between them");
}

constexpr const char* kFenced = "a fence, an atomic, an atomic on the same address and a fence";

void check_writer(const Cell& cell, const void* p, Access kind) {
  if (!is_present(cell.writer)) return;
  const Id& id = id_of(cell.writer);
  const Order& me = launch.block->order;
  if (id.block == me.block || at(me.visible, id.block) >= id.value) return;
  const bool by_atomic = cell.writer & kAtomic;
  if (by_atomic && kind == Access::atomic) return;
  race(p, kind, by_atomic ? "changed by an atomic" : "stored to", id, kFenced);
}

void check_reader(u32 number, const void* p, Access kind) {
  const Id& id = id_of(number);
  const Order& me = launch.block->order;
  if (id.block == me.block || at(me.after, id.block) >= id.value) return;
  race(p, kind, "loaded", id, "atomics on a same address");
}

void add_reader(Cell& cell) {
  const Order& me = launch.block->order;
  if (cell.reader == me.id) return;
  if (cell.reader < first_id) {
    cell.reader = me.id;
    return;
  }
  const Id id = id_of(cell.reader);
  if (id.block != kReaders) {
    // A reader that this block runs after is covered: whoever runs after this block runs after it too.
    if (id.block != me.block && at(me.after, id.block) < id.value) {
      reader_sets.emplace_back();
      reader_sets.back().add(cell.reader, id.block);
      reader_sets.back().add(me.id, me.block);
      cell.reader = new_id(kReaders, reader_sets.size() - 1);
    } else {
      cell.reader = me.id;
    }
    return;
  }
  reader_sets[id.value].add(me.id, me.block);
}

void check_cell(Cell& cell, const void* p, Access kind) {
  check_writer(cell, p, kind);
  if (kind == Access::load) return add_reader(cell);
  if (cell.reader >= first_id) {
    const Id id = id_of(cell.reader);
    if (id.block == kReaders) {
      for (const u32 reader : reader_sets[id.value].numbers) check_reader(reader, p, kind);
    } else {
      check_reader(cell.reader, p, kind);
    }
  }
  cell.writer = launch.block->order.id | (kind == Access::atomic ? kAtomic : 0);
  cell.reader = 0;
}

bool is_split(const Cell& cell) { return is_present(cell.writer) && id_of(cell.writer).block == kBytes; }

// Gives each byte of the word a cell, and a set of readers, of its own.
void split(Cell& cell) {
  std::array<Cell, 4> bytes = {cell, cell, cell, cell};
  if (cell.reader >= first_id && id_of(cell.reader).block == kReaders) {
    const Readers readers = reader_sets[id_of(cell.reader).value];
    for (unsigned i = 1; i < 4; i++) {
      reader_sets.push_back(readers);
      bytes[i].reader = new_id(kReaders, reader_sets.size() - 1);
    }
  }
  byte_cells.push_back(bytes);
  cell = {new_id(kBytes, byte_cells.size() - 1), 0};
}

void check_bytes(Cell& cell, const void* p, unsigned first, unsigned count, Access kind) {
  if (!is_split(cell)) split(cell);
  const u32 index = id_of(cell.writer).value;
  for (unsigned i = first; i < first + count; i++)
    check_cell(byte_cells[index][i], static_cast<const char*>(p) + (i - first), kind);
}

}  // namespace

void begin_order_of_launch() {
  first_id += ids.size();
  if (first_id > kMostIds) {
    clear_shadow();
    first_id = 1;
  }
  ids.clear();
  reader_sets.clear();
  byte_cells.clear();
  empty(batons);
}

void begin_order(Order& order, u32 block) {
  order = Order{block, 0, 0, {}, {}, {}, {}};
  begin_epoch(order);
}

void check_races(const void* p, unsigned bytes, Access kind) {
  Cell* cell = cell_at(p);
  if (bytes % 4 != 0) {
    const unsigned first = reinterpret_cast<size_t>(p) % 4;
    for (unsigned done = 0; done < bytes; cell++) {  // 2 bytes never cross a word, structs of odd size may
      const unsigned begin = done ? 0 : first, count = std::min(4 - begin, bytes - done);
      check_bytes(*cell, static_cast<const char*>(p) + done, begin, count, kind);
      done += count;
    }
    return;
  }
  const u32 id = launch.block->order.id;
  for (const Cell* end = cell + bytes / 4; cell < end; cell++, p = static_cast<const char*>(p) + 4) {
    // Nearly all words: touched by no other block in this launch.
    if ((cell->writer < first_id || cell->writer == id) && (cell->reader < first_id || cell->reader == id)) {
      if (kind == Access::load) {
        cell->reader = id;
        continue;
      }
      if (kind == Access::store) {
        cell->writer = id;
        continue;
      }
    }
    if (is_split(*cell))
      check_bytes(*cell, p, 0, 4, kind);
    else
      check_cell(*cell, p, kind);
  }
}

void fence() {
  Order& me = launch.block->order;
  merge(me.visible, me.acquired);
  me.released = me.visible;
  raise(me.released, me.block, me.epoch);
  begin_epoch(me);
  if (chance(4)) yield_ready();
}

void block_fence() {
  if (chance(8)) yield_ready();
}

void atomic_order(const void* p) {
  const Region* region = region_at(p);
  if (region || is_global(p)) {  // an atomic in shared memory orders no blocks
    Order& me = launch.block->order;
    Baton& baton = batons[p];
    merge(me.acquired, baton.released);
    merge(me.after, baton.after);
    raise(me.after, me.block, me.epoch);
    merge(baton.released, me.released);
    merge(baton.after, me.after);
    begin_epoch(me);
  }
  if (chance(4)) yield_ready();
}

}  // namespace cuda_on_cpu::engine
