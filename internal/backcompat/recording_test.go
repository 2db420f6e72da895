package backcompat_test

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// A recording is what was sent on the connections of a scenario.
type recording struct {
	scenario string
	form     packet.Form
	steps    []step
}

// A step is one thing that a side has sent.
type step struct {
	conn int // the connection, counted from 1 in the order of dialling
	from side
	what string
	// raw is what was on the wire: of a packet its length or its line feed as well.
	raw []byte
}

// A side is who sends, as it is written in files.
type side string

const (
	theClient side = "client"
	theServer side = "server"
)

func (s side) other() side {
	if s == theClient {
		return theServer
	}
	return theClient
}

// What a step can be.
const (
	aPreface = "preface"
	aPacket  = "packet"
	// someText is bytes that are no packets.
	someText = "text"
	// anEnd is the end of what the side sends.
	anEnd = "end"
	// aClosing is that as well, and the side reads no more.
	aClosing = "closed"
)

// ends reports whether nothing comes from the step's side after it.
func (s step) ends() bool { return s.what == anEnd || s.what == aClosing }

// body returns a packet without its length and its line feed.
func (s step) body(form packet.Form) []byte {
	body, _, err := packet.NewSplitter(form, maxPacket).Next(s.raw)
	if err != nil {
		return nil
	}
	return body
}

// packet parses the step's packet. What cannot be read is left out, as the fields
// of the packet are compared one by one in any case.
func (s step) packet(form packet.Form) *packet.Packet {
	p := new(packet.Packet)
	if s.what == aPacket {
		_ = packet.Parse(form, p, s.body(form))
	}
	return p
}

// format writes the recording as a file of testdata.
func (r *recording) format(about string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\nscenario %s\nform %s\n", about, r.scenario, r.form)
	conn := 0
	for i, step := range r.steps {
		if step.conn != conn {
			conn = step.conn
			fmt.Fprintf(&out, "\nconnection %d\n", conn)
		}
		fmt.Fprintf(&out, "\n%d %s %s\n", i+1, step.from, strings.TrimRight(step.what+" "+r.text(step), " "))
		if step.what == aPacket && r.form == packet.Binary {
			fmt.Fprintf(&out, "  # %s\n", explain(step.body(r.form)))
		}
	}
	return out.String()
}

// text writes what a step has on the wire.
func (r *recording) text(step step) string {
	switch {
	case step.ends():
		return ""
	case step.what == someText:
		return strconv.Quote(string(step.raw))
	case step.what == aPacket && r.form == packet.JSON:
		line, ended := strings.CutSuffix(string(step.raw), "\n")
		if !ended {
			line += noLineFeed
		}
		return line
	}
	return formatHex(step.raw)
}

// noLineFeed follows JSON packets behind which the side sent no line feed.
const noLineFeed = "\n\\ no line feed"

// parseRecording reads a file of testdata.
func parseRecording(text string) (*recording, error) {
	r, conn := new(recording), 0
	text = strings.ReplaceAll(text, noLineFeed, " "+strings.TrimSpace(noLineFeed))
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		head, rest, _ := strings.Cut(line, " ")
		var err error
		switch head {
		case "", "#":
		case "scenario":
			r.scenario = rest
		case "form":
			if rest == packet.JSON.String() {
				r.form = packet.JSON
			}
		case "connection":
			conn, err = strconv.Atoi(rest)
		default:
			err = r.parseStep(conn, line)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return r, nil
}

func (r *recording) parseStep(conn int, line string) error {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 3 || words[0] != strconv.Itoa(len(r.steps)+1) {
		return fmt.Errorf("step %d is to come, as: number, side, what, bytes", len(r.steps)+1)
	}
	next := step{conn: conn, from: side(words[1]), what: words[2]}
	text := ""
	if len(words) == 4 {
		text = words[3]
	}
	var err error
	switch {
	case next.ends():
	case next.what == someText:
		text, err = strconv.Unquote(text)
		next.raw = []byte(text)
	case next.what == aPacket && r.form == packet.JSON:
		line, bare := strings.CutSuffix(text, " "+strings.TrimSpace(noLineFeed))
		if !bare {
			line += "\n"
		}
		next.raw = []byte(line)
	case next.what == aPacket || next.what == aPreface:
		next.raw, err = parseHex(text)
	default:
		err = fmt.Errorf("there is no %q", next.what)
	}
	r.steps = append(r.steps, next)
	return err
}

// leastRun is how often a byte must be repeated to be written as a run.
const leastRun = 16

// formatHex writes bytes in hexadecimal, those that are repeated as 00*100.
func formatHex(raw []byte) string {
	var words []string
	plain := 0 // where what is yet to be written begins
	for i := 0; i < len(raw); {
		end := i
		for end < len(raw) && raw[end] == raw[i] {
			end++
		}
		if end-i >= leastRun {
			if plain < i {
				words = append(words, hex.EncodeToString(raw[plain:i]))
			}
			words = append(words, fmt.Sprintf("%02x*%d", raw[i], end-i))
			plain = end
		}
		i = end
	}
	if plain < len(raw) {
		words = append(words, hex.EncodeToString(raw[plain:]))
	}
	return strings.Join(words, " ")
}

func parseHex(text string) ([]byte, error) {
	var raw []byte
	for word := range strings.FieldsSeq(text) {
		digits, times, repeated := strings.Cut(word, "*")
		count := 1
		if repeated {
			var err error
			if count, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		part, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		for range count {
			raw = append(raw, part...)
		}
	}
	return raw, nil
}

// recorded returns the files of all recordings, below testdata.
func recorded(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(os.DirFS("testdata"), "*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no recordings: %v", err)
	}
	return files
}

// readRecording reads one of them.
func readRecording(t *testing.T, file string) *recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRecording(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r
}
