package conn

import (
	"context"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxCallWindow is how far the window of a call grows by itself.
const maxCallWindow = 1 << 20

// inbox holds what has arrived for one call and has not been taken: the messages
// of a stream, the parts of a message that has not arrived whole, and how the
// other side's sending ended. The goroutine with the reading role fills it, one
// other takes from it, and neither ever waits for the other while it holds the
// lock.
//
// The taking side swaps all that has arrived for nothing: a stream costs one lock
// for many messages.
type inbox struct {
	lender  *Workers
	account *account
	grant   func(credit int) // gives the call's sender credit
	wake    chan struct{}    // has a value when something new is there

	taking messages // belongs to the goroutine that takes

	// mu guards what follows.
	mu       sync.Mutex
	filled   messages
	part     bigMessage // a message that has not arrived whole
	reserved int        // how much room was made for it
	end      error      // io.EOF, or why the call failed; nothing arrives after it
	meta     packetrpc.Metadata

	window   int  // what the sender's credit may be; 0 is endless
	credit   int  // what it is now, as far as this side knows
	held     int  // memory of messages that have arrived whole and not been taken
	debt     int  // credit to give back when they are taken
	owed     int  // credit to give back now, or when it is half a window
	withheld int  // credit of an incomplete message
	waited   bool // the taking side has waited since credit was last given back

	listed   bool // it is in account.parts, with so many bytes; the account's lock
	listSize int  // guards both
}

func newInbox(lender *Workers, a *account, window int, grant func(int)) *inbox {
	return &inbox{lender: lender, account: a, window: window, credit: window, grant: grant, wake: make(chan struct{}, 1)}
}

// put adds a packet's data to the inbox: a message, or a part of one. It returns
// an error when the sender had no credit, the message is larger than limit, or too
// many messages are incomplete; the packet is then the caller's to account for.
func (b *inbox) put(p *packet.Packet, limit int) *packetrpc.Error {
	data, charge := p.Data, packetCost(p)
	b.mu.Lock()
	if b.end != nil {
		b.mu.Unlock()
		b.account.arrived(charge, 0)
		return nil
	}
	if err := b.admit(max(len(data), int(min(p.MessageSize, maxWindow))), charge, limit); err != nil {
		b.mu.Unlock()
		return err
	}
	if p.More {
		if err := b.account.addPart(b, len(data)); err != nil {
			b.mu.Unlock()
			return err
		}
	}
	switch {
	case p.More:
		b.putPart(data, charge, int(p.MessageSize)) // unlocks
	case b.part != nil:
		b.putWhole(data, charge) // unlocks
	default:
		b.filled.add(b.lender, data)
		b.held += cost(len(data))
		b.debt += charge
		b.mu.Unlock()
		b.account.arrived(charge, cost(len(data)))
		b.signal()
	}
	return nil
}

// admit takes a packet's cost from the sender's credit.
func (b *inbox) admit(n, charge, limit int) *packetrpc.Error {
	if size := b.part.size() + n; size > limit {
		return tooLarge(size, limit)
	}
	if err := b.account.roomFor(n); err != nil {
		return err
	}
	if b.window == 0 {
		return nil
	}
	if b.credit <= 0 {
		return packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"a message was sent without credit; the window is %d bytes", b.window)
	}
	b.credit -= charge
	return nil
}

// reserveMax is how large a message may be for which room is made at once. Making
// more takes the reading goroutine milliseconds.
const reserveMax = 4 << 20

// putPart keeps a part and gives its credit back at once if the message is what
// the taking side waits for: it could not be completed otherwise. There is room for
// the whole message from the start if its size was told, is not huge, and the
// connection's budget allows.
func (b *inbox) putPart(data []byte, charge, whole int) {
	if b.part == nil && whole > len(data) && whole <= reserveMax && b.account.incomplete(b, whole) {
		b.reserved = whole
		b.part.add(b.lender, data, whole)
	} else {
		b.part.add(b.lender, data, 0)
	}
	b.withheld += charge
	b.mu.Unlock()
	b.account.arrived(charge, 0)
	b.progress()
}

// progress gives the sender of an incomplete message credit for the rest, if the
// message is what the taking side waits for and the connection's budget allows.
// What waits behind messages that nobody takes has no part in that budget: it
// grows no further than the call's window.
func (b *inbox) progress() {
	b.mu.Lock()
	credit := 0
	if b.part != nil && b.held == 0 && b.window > 0 && b.account.incomplete(b, max(b.part.size(), b.reserved)) {
		credit, b.withheld = b.withheld, 0
	}
	b.giveBack(credit) // unlocks
}

// putWhole turns the parts into a message.
func (b *inbox) putWhole(data []byte, charge int) {
	b.account.dropParts(b.part.size())
	b.part.add(b.lender, data, 0)
	size := b.part.size()
	b.filled.addBig(b.lender, b.part)
	b.part, b.reserved = nil, 0
	b.debt += b.withheld + charge
	b.withheld = 0
	b.held += size
	b.mu.Unlock()
	b.account.arrived(charge, size)
	b.account.complete(b)
	b.signal()
}

// release gives the credit of an incomplete message back if nothing whole lies
// before it.
func (b *inbox) release() {
	b.mu.Lock()
	credit := 0
	if b.held == 0 && b.part != nil {
		credit, b.withheld = b.withheld, 0
	}
	b.giveBack(credit) // unlocks
}

// giveBack adds to the sender's credit and unlocks.
func (b *inbox) giveBack(credit int) {
	if b.window == 0 || b.end != nil {
		credit = 0
	}
	b.credit += credit
	b.mu.Unlock()
	if credit > 0 {
		b.grant(credit)
	}
}

// incomplete reports whether a message has not arrived whole.
func (b *inbox) incomplete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.part != nil
}

// finish notes how the other side's sending ended. Messages that have arrived
// before are still taken; a part of one is dropped.
func (b *inbox) finish(end error) {
	b.mu.Lock()
	if b.end != nil {
		b.mu.Unlock()
		return
	}
	b.end = end
	b.account.dropParts(b.part.size())
	b.part.giveBack(b.lender)
	b.part, b.reserved = nil, 0
	b.mu.Unlock()
	b.account.complete(b)
	b.signal()
}

// discard drops all that nobody is going to take.
func (b *inbox) discard(end error) {
	b.finish(end)
	b.mu.Lock()
	if !b.filled.empty() {
		b.end = end // not io.EOF: what is missing must not be taken for all there was
	}
	held := b.held
	b.held = 0
	b.filled.drop(b.lender)
	b.mu.Unlock()
	if held > 0 {
		b.account.taken(held)
	}
}

// addMetadata keeps metadata for whoever takes.
func (b *inbox) addMetadata(metadata packetrpc.Metadata) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, value := range metadata.All() {
		b.meta.Add(key, value)
	}
}

// takeMetadata appends the metadata that has arrived to info.
func (b *inbox) takeMetadata(info *packetrpc.CallInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, value := range b.meta.All() {
		info.Metadata.Add(key, value)
	}
	b.meta = packetrpc.Metadata{}
}

// signal wakes the taking side.
func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns the next message, which is valid until the next call, or the end.
// Before it waits it calls idle.
func (b *inbox) take(ctx context.Context, idle func()) ([]byte, error) {
	b.done()
	for {
		if !b.taking.empty() {
			return b.taking.next(b.lender), nil
		}
		more, end := b.swap()
		switch {
		case more:
			continue
		case end != nil:
			return nil, end
		}
		idle()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil, contextError(ctx)
		}
	}
}

// done says that what was taken last is not needed any more.
func (b *inbox) done() { b.taking.done(b.lender) }

// swap takes all that has arrived out and gives the sender credit for it. It
// reports whether there is something to take, or else how the sending ended.
func (b *inbox) swap() (more bool, end error) {
	b.mu.Lock()
	if b.filled.empty() {
		end = b.end
		b.waited = true
		b.mu.Unlock()
		return false, end
	}
	b.taking, b.filled = b.filled, messages{blocks: b.taking.blocks[:0]}
	held := b.held
	b.owed += b.debt
	b.held, b.debt = 0, 0
	credit := b.due()
	b.giveBack(credit) // unlocks
	b.account.taken(held)
	b.progress()
	return true, nil
}

// due returns the credit to give back now: none before half a window is owed,
// and more than is owed when the taking side waits for the sender, whose window
// then was too small.
func (b *inbox) due() int {
	if b.window == 0 || b.owed < b.window/2 {
		return 0
	}
	credit := b.owed
	b.owed = 0
	if b.waited && b.window < maxCallWindow {
		grown := min(2*b.window, maxCallWindow)
		credit += grown - b.window
		b.window = grown
	}
	b.waited = false
	return credit
}
