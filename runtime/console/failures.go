package console

import (
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// maxFailures is how many failed calls are remembered.
	maxFailures = 100
	// maxFailureText is how many bytes of a failure's message are kept.
	maxFailureText = 500
)

// failure is a call that has failed, or was refused.
type failure struct {
	Number   uint64    `json:"number"` // from 1
	Time     time.Time `json:"time"`
	Client   string    `json:"client"` // its public id
	Name     string    `json:"name"`
	Action   string    `json:"action"`
	Outgoing bool      `json:"outgoing"` // the server has called the client
	Code     string    `json:"code"`
	Message  string    `json:"message"`
}

// failures remembers the last failed calls.
type failures struct {
	mu   sync.Mutex
	seen uint64
	ring [maxFailures]failure
}

func (f *failures) add(peer packetrpc.Peer, action string, outgoing bool, err error) {
	coded := packetrpc.AsError(err)
	one := failure{
		Time:     time.Now(),
		Action:   action,
		Outgoing: outgoing,
		Code:     coded.Code.String(),
		Message:  shortened(coded.Message, maxFailureText),
	}
	if peer != nil {
		one.Client, one.Name = peer.ID(), peer.Identity().Name
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	one.Number = f.seen
	f.ring[f.seen%maxFailures] = one
}

// list returns what is remembered, the last failure first.
func (f *failures) list() []failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]failure, 0, min(f.seen, maxFailures))
	for number := f.seen; number > 0 && number+maxFailures > f.seen; number-- {
		list = append(list, f.ring[number%maxFailures])
	}
	return list
}

// shortened returns a text cut to so many bytes, as far as it is text.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
