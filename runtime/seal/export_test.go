package seal

import "time"

// RememberAt notes n more ids as opened at the time now that were sealed at the
// second at, as if so much had been opened.
func (o *Opener) RememberAt(now time.Time, at int64, n int) error {
	for range n {
		s := stamp{at, newID()}
		place, err := o.opened.place(s, now)
		if err != nil {
			return err
		}
		place[s.id] = struct{}{}
	}
	return nil
}

// Remembered is how many ids are held.
func (o *Opener) Remembered() int { return len(o.opened.older) + len(o.opened.newer) }
