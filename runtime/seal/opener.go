package seal

import (
	"crypto/rsa"
	"sync"
	"time"
)

// Opener opens what is sealed to a key for one session, each once.
type Opener struct {
	key *rsa.PrivateKey

	mu     sync.Mutex
	opened memory
}

// NewOpener returns an Opener that has opened nothing yet. It takes some megabytes
// of memory when as much is opened as it can remember.
func NewOpener(key *rsa.PrivateKey) *Opener { return &Opener{key: key} }

// Open decrypts what [Label.Seal] has sealed with the wanted label, and returns the
// id that it was given. What was sealed more than two minutes ago, or is as far in
// the future, is refused; so is what has been opened before, and anything once 65536
// pieces of data have been opened within the last minutes.
//
// The errors wrap [ErrMalformed], [ErrNotForThisKey], [ErrMoved], [ErrStale],
// [ErrReplayed] or [ErrFull]; the last has a RetryAfter. Open does not limit how long
// sealed may be. It may be called concurrently.
func (o *Opener) Open(sealed []byte, want Label) (data []byte, id string, err error) {
	text := string(sealed)
	h, err := readHeader(text, o.key)
	if err != nil {
		return nil, "", err
	}
	label, stamp := h.label(), h.stamp()
	if h.err != nil {
		return nil, "", h.err
	}
	if err := label.checkAgainst(want); err != nil {
		return nil, "", err
	}
	// What is refused anyway is not worth the time that decrypting takes.
	if err := o.check(stamp); err != nil {
		return nil, "", err
	}
	data, err = decrypt(text, o.key)
	if err != nil {
		return nil, "", err
	}
	// Only what could be decrypted is remembered, or anybody who sees an id could
	// make it refused. The same data may have been opened meanwhile.
	if err := o.remember(stamp); err != nil {
		return nil, "", err
	}
	return data, stamp.id.String(), nil
}

// check refuses what [Opener.remember] would refuse now.
func (o *Opener) check(s stamp) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.opened.place(s, time.Now())
	return err
}

// remember notes that something has been opened, or refuses it.
func (o *Opener) remember(s stamp) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	place, err := o.opened.place(s, time.Now())
	if err == nil {
		place[s.id] = struct{}{}
	}
	return err
}
