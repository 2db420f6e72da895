package conn

import "iter"

// callTable finds calls by their ids. The ids of a side's calls grow by two, so
// that the calls of late lie at different places of a ring, whatever their number;
// those that stay open while many others come and go move to a map.
type callTable[C any] struct {
	ring  []callEntry[C]
	stay  map[uint64]*C
	count int
}

type callEntry[C any] struct {
	id   uint64
	call *C
}

// The least and the most places of a ring.
const (
	ringMin = 8
	ringMax = 8 << 10
)

func (t *callTable[C]) len() int { return t.count }

// place returns where a call of an id lies if it lies in the ring. There must be
// a ring.
func (t *callTable[C]) place(id uint64) *callEntry[C] {
	return &t.ring[id/2&uint64(len(t.ring)-1)]
}

// get returns the call of an id, or nil.
func (t *callTable[C]) get(id uint64) *C {
	if t.count == 0 {
		return nil
	}
	if entry := t.place(id); entry.id == id {
		return entry.call
	}
	return t.stay[id]
}

// put adds a call, whose id must not be there.
func (t *callTable[C]) put(id uint64, call *C) {
	if 2*t.count >= len(t.ring) && len(t.ring) < ringMax {
		t.grow()
	}
	entry := t.place(id)
	if entry.call != nil {
		if t.stay == nil {
			t.stay = make(map[uint64]*C)
		}
		t.stay[entry.id] = entry.call
	}
	*entry = callEntry[C]{id, call}
	t.count++
}

// grow doubles the ring. Calls that lay at different places still do.
func (t *callTable[C]) grow() {
	old := t.ring
	t.ring = make([]callEntry[C], max(ringMin, 2*len(old)))
	for _, entry := range old {
		if entry.call != nil {
			*t.place(entry.id) = entry
		}
	}
}

// remove removes a call and reports whether it was there.
func (t *callTable[C]) remove(id uint64, call *C) bool {
	if call == nil || t.get(id) != call {
		return false
	}
	t.count--
	if entry := t.place(id); entry.id == id {
		*entry = callEntry[C]{}
	} else {
		delete(t.stay, id)
	}
	return true
}

// all yields the calls, which may be removed meanwhile.
func (t *callTable[C]) all() iter.Seq2[uint64, *C] {
	return func(yield func(uint64, *C) bool) {
		for _, entry := range t.ring {
			if entry.call != nil && !yield(entry.id, entry.call) {
				return
			}
		}
		for id, call := range t.stay {
			if !yield(id, call) {
				return
			}
		}
	}
}
