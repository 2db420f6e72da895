package users

import (
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tick is more than the clock by which a kernel dates files goes on at a time. A
// file that was changed less than this before it was read can have changed again
// without another date.
const tick = 20 * time.Millisecond

// watched is what a file says, read anew when the file has changed. It may be
// used concurrently.
type watched[T any] struct {
	path      string
	forbidden fs.FileMode
	parse     func(path string, text []byte) (T, error)
	logger    *slog.Logger

	mu      sync.Mutex
	good    T           // what the file said when it was last as it should be
	seen    fs.FileInfo // the file when it was last read; nil: read it in any case
	problem string      // what is wrong with the file, and has been logged
}

// watch reads a file for the first time.
func watch[T any](path string, forbidden fs.FileMode, parse func(string, []byte) (T, error), options []Option) (*watched[T], error) {
	w := &watched[T]{path: path, forbidden: forbidden, parse: parse, logger: newSettings(options).logger}
	return w, w.read()
}

// get returns what the file says, or said before something became wrong with it.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.changed() {
		return w.good
	}
	err := w.read()
	switch {
	case err == nil:
		w.problem = ""
	case err.Error() != w.problem:
		w.problem = err.Error()
		w.logger.Error("packetrpc: cannot read a file anew; what it said before holds", "path", w.path, "error", err)
	}
	return w.good
}

// changed looks at the file each time: that takes a microsecond, and hashing a
// password ten thousand.
func (w *watched[T]) changed() bool {
	info, err := os.Stat(w.path)
	return err != nil || w.seen == nil ||
		!os.SameFile(info, w.seen) ||
		info.Size() != w.seen.Size() ||
		info.Mode() != w.seen.Mode() ||
		!info.ModTime().Equal(w.seen.ModTime())
}

func (w *watched[T]) read() error {
	began := time.Now()
	text, info, err := readFile(w.path, w.forbidden)
	w.seen = info
	if info != nil && began.Sub(info.ModTime()).Abs() < tick {
		w.seen = nil
	}
	if err != nil {
		return err
	}
	said, err := w.parse(w.path, text)
	if err == nil {
		w.good = said
	}
	return err
}
