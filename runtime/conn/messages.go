package conn

import "encoding/binary"

// messages is a queue of messages that have arrived whole. Small ones lie one
// behind the other in blocks, so that they cost next to nothing each. Its memory is
// borrowed, and whoever takes the messages out gives it back bit by bit.
type messages struct {
	blocks []*buffer // each message behind its length in 4 bytes; bigMark stands for a big one
	bigs   []bigMessage

	first, read int     // where the next message begins: in which block, and at which byte
	lent        *buffer // what holds the message that was taken out last, if nothing else does
}

const (
	bigMark = ^uint32(0)
	// smallMax is how large a message may be to lie among others.
	smallMax = 8 << 10
	// blockMax is how large a block is at most.
	blockMax = 64 << 10
)

func (m *messages) empty() bool { return m.first == len(m.blocks) }

// add appends a copy of a message.
func (m *messages) add(lender *Workers, data []byte) {
	if len(data) > smallMax {
		var big bigMessage
		big.add(lender, data, 0)
		m.addBig(lender, big)
		return
	}
	block := m.room(lender, 4+len(data))
	block.bytes = binary.LittleEndian.AppendUint32(block.bytes, uint32(len(data)))
	block.bytes = append(block.bytes, data...)
}

// addBig appends a message, and takes its chunks over.
func (m *messages) addBig(lender *Workers, big bigMessage) {
	block := m.room(lender, 4)
	block.bytes = binary.LittleEndian.AppendUint32(block.bytes, bigMark)
	m.bigs = append(m.bigs, big)
}

// room returns the block to append so many bytes to. Blocks become larger while
// messages come faster than they are taken.
func (m *messages) room(lender *Workers, n int) *buffer {
	size := leastBuffer
	if last := len(m.blocks) - 1; last >= 0 {
		block := m.blocks[last]
		if cap(block.bytes)-len(block.bytes) >= n {
			return block
		}
		size = min(2*cap(block.bytes), blockMax)
	}
	block := lender.borrow(max(n, size))
	block.bytes = block.bytes[:0]
	m.blocks = append(m.blocks, block)
	return block
}

// next takes the next message out, which there must be. It is valid until done.
func (m *messages) next(lender *Workers) (data []byte) {
	block := m.blocks[m.first]
	size := binary.LittleEndian.Uint32(block.bytes[m.read:])
	m.read += 4
	if size == bigMark {
		m.lent = m.bigs[0].join(lender)
		m.bigs[0] = nil
		m.bigs = m.bigs[1:]
		data = m.lent.bytes
	} else {
		end := m.read + int(size)
		data = block.bytes[m.read:end:end]
		m.read = end
	}
	if m.read == len(block.bytes) {
		m.leave(lender, block)
	}
	return data
}

// leave goes on to the next block. This one may hold the message that is taken out.
func (m *messages) leave(lender *Workers, block *buffer) {
	if m.lent == nil {
		m.lent = block
	} else {
		lender.giveBack(block)
	}
	m.blocks[m.first] = nil
	m.first++
	m.read = 0
}

// done says that the message that was taken out last is not needed any more.
func (m *messages) done(lender *Workers) {
	if m.lent != nil {
		lender.giveBack(m.lent)
		m.lent = nil
	}
}

// drop gives everything back.
func (m *messages) drop(lender *Workers) {
	for _, block := range m.blocks[m.first:] {
		lender.giveBack(block)
	}
	for _, big := range m.bigs {
		big.giveBack(lender)
	}
	*m = messages{}
}

// bigMessage is a large message in chunks: one if its sender has told its size,
// otherwise several, so that the reading goroutine, which puts it together, never
// copies more than has just arrived.
type bigMessage []*buffer

// maxChunk is how large a chunk is at most, unless a packet is larger.
const maxChunk = 1 << 20

func (m bigMessage) size() (size int) {
	for _, chunk := range m {
		size += len(chunk.bytes)
	}
	return size
}

// add appends a copy of data. What it borrows has at least so much room.
func (m *bigMessage) add(lender *Workers, data []byte, room int) {
	if last := len(*m) - 1; last >= 0 {
		chunk := (*m)[last]
		begun := len(chunk.bytes)
		n := min(cap(chunk.bytes)-begun, len(data))
		chunk.bytes, data = append(chunk.bytes, data[:n]...), data[n:]
	}
	if len(data) > 0 || *m == nil {
		chunk := lender.borrow(max(len(data), room, min(m.size(), maxChunk)))
		chunk.bytes = append(chunk.bytes[:0], data...)
		*m = append(*m, chunk)
	}
}

// join returns the message as a whole, for its receiver to give back.
func (m bigMessage) join(lender *Workers) *buffer {
	if len(m) == 1 {
		return m[0]
	}
	whole := lender.borrow(m.size())
	whole.bytes = whole.bytes[:0]
	for _, chunk := range m {
		whole.bytes = append(whole.bytes, chunk.bytes...)
	}
	m.giveBack(lender)
	return whole
}

func (m bigMessage) giveBack(lender *Workers) {
	for _, chunk := range m {
		lender.giveBack(chunk)
	}
}
