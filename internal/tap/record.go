package tap

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// recordingVersion is the version of the file format. Readers ignore what they do not
// know, so it changes only when a file would be misunderstood.
const recordingVersion = 1

// maxLine is the number of bytes that a line of a recording may have: an event with data
// and a request, each of the size that is shown at most, and details of an error.
const maxLine = 16 << 20

// header is the first line of a recording.
type header struct {
	Version int       `json:"packetrpc-tap"`
	Began   time.Time `json:"began"`
}

// Recorder writes events as the lines of a recording; see docs/tap.md. It is used by one
// goroutine at a time.
type Recorder struct {
	out   *bufio.Writer
	lines *json.Encoder
}

// NewRecorder returns a Recorder that has written the first line of a file.
func NewRecorder(w io.Writer) (*Recorder, error) {
	r := &Recorder{out: bufio.NewWriter(w)}
	r.lines = newLines(r.out)
	return r, r.write(header{recordingVersion, time.Now().UTC().Truncate(time.Microsecond)})
}

// Record writes an event, and passes it on to the file at once, so that a file is whole up
// to the last event whatever happens.
func (r *Recorder) Record(e *Event) error { return r.write(e) }

func (r *Recorder) write(line any) error {
	if err := r.lines.Encode(line); err != nil {
		return err
	}
	return r.out.Flush()
}

// newLines returns an encoder that writes a line for each value.
func newLines(w io.Writer) *json.Encoder {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return lines
}

// Replay reads a recording and calls show for each of its events, in their order. Its
// errors name the line; what stands before that has been shown.
func Replay(r io.Reader, show func(*Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() {
		number++
		line := bytes.TrimSpace(lines.Bytes())
		var err error
		switch {
		case number == 1:
			err = checkHeader(line)
		case len(line) > 0:
			err = replayLine(line, show)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return fmt.Errorf("line %d: %w", number+1, err)
	case number == 0:
		return errors.New("the recording is empty")
	}
	return nil
}

func checkHeader(line []byte) error {
	var first header
	if err := json.Unmarshal(line, &first); err != nil || first.Version == 0 {
		return errors.New(`no recording of packetrpc tap begins so: its first line is {"packetrpc-tap":1,…}`)
	}
	if first.Version != recordingVersion {
		return fmt.Errorf("the recording has the version %d, and this program reads version %d", first.Version, recordingVersion)
	}
	return nil
}

func replayLine(line []byte, show func(*Event) error) error {
	e := new(Event)
	if err := json.Unmarshal(line, e); err != nil {
		return fmt.Errorf("no event: %w", err)
	}
	if e.Kind == "" || e.Time.IsZero() {
		return errors.New("no event: it has no kind or no time")
	}
	return show(e)
}
