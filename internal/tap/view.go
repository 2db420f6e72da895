package tap

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// defaultWidth is the width of lines that are not for a terminal.
const defaultWidth = 160

// View makes lines of events. The zero View makes a line for each event that is cut to 160
// columns, without colours. It does not change.
type View struct {
	// Calls makes a line for each call that has ended, and for what has gone wrong
	// otherwise, instead of one for each event.
	Calls bool
	// JSON makes a JSON object of each event, as a line of a recording.
	JSON bool
	// Color marks with the colours of terminals what needs to be found.
	Color bool
	// Full does not cut lines.
	Full bool
	// Width is how many columns a line has; 0 is 160.
	Width int
}

// Line returns the line of an event with a line feed, or nothing if the view has none.
func (v View) Line(e *Event) []byte {
	if v.Calls && !ofCalls(e) {
		return nil
	}
	if v.JSON {
		var line bytes.Buffer
		if err := newLines(&line).Encode(e); err != nil {
			return fmt.Appendf(nil, "%q\n", err.Error())
		}
		return line.Bytes()
	}
	l := line{color: v.Color}
	if v.Calls && e.Call != nil {
		l.call(e)
	} else {
		l.event(e)
	}
	width := v.Width
	switch {
	case v.Full:
		width = 0
	case width <= 0:
		width = defaultWidth
	}
	return l.end(width)
}

// ofCalls reports whether an event has a line in a view of calls.
func ofCalls(e *Event) bool {
	return e.Call != nil || slices.Contains([]string{KindFailed, KindText, KindGarbage, KindMissed}, e.Kind)
}

// The colours, as terminals take them.
const (
	plain  = ""
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
)

// The widths of the columns. A text that is longer moves those behind it.
const (
	kindWidth     = 10
	actionWidth   = 28
	idWidth       = 4
	sizeWidth     = 6
	durationWidth = 6
	statusWidth   = 8
)

// line is a line that is being written.
type line struct {
	color bool
	cells []cell
}

type cell struct {
	text  string
	color string
}

// add adds a text with a space behind it.
func (l *line) add(color, format string, args ...any) {
	l.cells = append(l.cells, cell{fmt.Sprintf(format, args...) + " ", color})
}

// prefix writes when, where and in which direction something happened.
func (l *line) prefix(e *Event, from Side) {
	l.add(dim, "%s", e.Time.Local().Format("15:04:05.000"))
	connection, arrow := "", " "
	if e.Connection > 0 {
		connection = "#" + strconv.Itoa(e.Connection)
	}
	switch from {
	case Client:
		arrow = "→"
	case Server:
		arrow = "←"
	}
	l.add(plain, "%-3s %s", connection, arrow)
}

// event writes an event.
func (l *line) event(e *Event) {
	l.prefix(e, e.From)
	l.add(kindColor(e), "%-*s", kindWidth, e.Kind)
	if !isPacket(e.Kind) && e.Kind != KindUnanswered {
		l.about(e)
		return
	}
	l.add(plain, "%-*s", actionWidth, e.Action)
	l.add(dim, "%*s", idWidth, number(e.ID))
	bytes := ""
	if e.Size > 0 {
		bytes = size(e.Size)
	}
	l.add(dim, "%*s", sizeWidth, bytes)
	l.duration(e.Call)
	switch {
	case e.Status == "" || e.Status == "ok":
	case e.Message == "":
		l.add(red, "%s", e.Status)
	default:
		l.add(red, "%s:", e.Status)
	}
	l.failure(e)
	l.notes(e)
	l.content(e)
}

// call writes a call that has ended, from the side of who has made it.
func (l *line) call(e *Event) {
	c := e.Call
	l.prefix(e, c.By)
	l.add(plain, "%-*s", actionWidth, e.Action)
	l.add(dim, "%*s", idWidth, number(e.ID))
	l.duration(c)
	status, color := cmp.Or(e.Status, "one-way"), red
	switch status {
	case "ok":
		color = green
	case "one-way":
		color = dim
	}
	l.add(color, "%-*s", statusWidth, status)
	if c.Replies.Bytes > 0 {
		l.add(dim, "%s / %s", c.Requests, c.Replies)
	} else {
		l.add(dim, "%s", c.Requests)
	}
	l.failure(e)
	l.notes(e)
	if c.Request != nil {
		l.add(plain, "%s", c.Request)
		if e.Data != nil {
			l.add(dim, "⇒")
		}
	}
	l.content(e)
}

// duration writes how long a call took, if that is known.
func (l *line) duration(c *Call) {
	text := ""
	if c != nil && c.Duration > 0 {
		text = c.Duration.String()
	}
	l.add(plain, "%*s", durationWidth, text)
}

// String returns the messages as in "3 in 1.2 kB", or "27 B" for one.
func (m Messages) String() string {
	if m.Count <= 1 {
		return size(m.Bytes)
	}
	return fmt.Sprintf("%d in %s", m.Count, size(m.Bytes))
}

// about writes an event that is no packet.
func (l *line) about(e *Event) {
	if e.Message != "" {
		l.add(kindColor(e), "%s", e.Message)
	}
	if c := e.Closed; c != nil {
		who := "by the tap"
		if c.By != 0 {
			who = "by the " + c.By.String()
		}
		l.add(plain, "%s after %s, %s from the client, %s from the server", who, c.Duration, size(int(c.FromClient)), size(int(c.FromServer)))
	}
	if m := e.Missed; m != nil && m.Lines > 0 {
		l.add(yellow, "%d lines are not shown: whoever reads them is too slow", m.Lines)
	} else if m != nil {
		l.add(yellow, "%d packets of %s are not shown: the tap is too slow", m.Packets, size(m.Bytes))
	}
	l.notes(e)
}

// failure writes what is told about a call that has failed.
func (l *line) failure(e *Event) {
	if e.Message != "" {
		l.add(red, "%s", e.Message)
	}
	for _, detail := range e.Details {
		l.add(plain, "%s", detail)
	}
	if e.RetryAfter > 0 {
		l.add(plain, "retry after %s", e.RetryAfter)
	}
	if e.MayHaveRun {
		l.add(plain, "may have run")
	}
}

// content writes what a packet carries.
func (l *line) content(e *Event) {
	if e.Reason != "" {
		l.add(yellow, "%s", e.Reason)
	}
	if e.Credit > 0 {
		l.add(dim, "%s more", size(int(min(e.Credit, 1<<40))))
	}
	if e.Acknowledged > 0 {
		l.add(dim, "up to push %d", e.Acknowledged)
	}
	if e.Sealed {
		l.add(yellow, "sealed")
	}
	if e.Data != nil {
		l.add(plain, "%s", e.Data)
	}
	if len(e.Metadata) > 0 {
		metadata, _ := json.Marshal(e.Metadata) // texts have a JSON form
		l.add(blue, "metadata %s", metadata)
	}
	if e.Timeout > 0 {
		l.add(dim, "within %s", e.Timeout)
	}
	if e.Fragments > 1 {
		l.add(dim, "%d fragments", e.Fragments)
	}
}

// notes come before what may be cut off.
func (l *line) notes(e *Event) {
	color := yellow
	if e.Kind == KindConnected {
		color = dim
	}
	for _, note := range e.Notes {
		l.add(color, "(%s)", note)
	}
}

// isPacket reports whether events of a kind are packets.
func isPacket(kind string) bool {
	return !slices.Contains([]string{KindConnected, KindFailed, KindClosed, KindText, KindGarbage, KindMissed}, kind)
}

// kindColor returns the colour of an event's kind.
func kindColor(e *Event) string {
	switch e.Kind {
	case "error", KindFailed, KindUnanswered, KindGarbage, KindText:
		return red
	case "cancel", "close", "drain", KindMissed:
		return yellow
	case "response":
		return green
	case "credit", "ack", "ping", "pong", KindConnected, KindClosed:
		return dim
	}
	return plain
}

// number writes a call id.
func number(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 10)
}

// size writes a number of bytes with three digits at most.
func size(n int) string {
	const units = "kMGT"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %cB", value, units[unit])
	}
	return fmt.Sprintf("%.0f %cB", value, units[unit])
}

// end returns the line, cut to a width if that is not 0.
func (l *line) end(width int) []byte {
	var out strings.Builder
	column := 0
	for i, c := range l.cells {
		text := printable(c.text)
		if i == len(l.cells)-1 {
			text = strings.TrimRight(text, " ")
		}
		cut := false
		if length := len([]rune(text)); width > 0 && column+length > width {
			text, cut = string([]rune(text)[:max(0, width-column-1)])+"…", true
		}
		column += len([]rune(text))
		out.WriteString(l.painted(text, c.color))
		if cut {
			break
		}
	}
	return append([]byte(strings.TrimRight(out.String(), " ")), '\n')
}

func (l *line) painted(text, color string) string {
	if !l.color || color == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return color + text + "\x1b[0m"
}

// printable returns a text with what a terminal would act on made visible: others have
// sent it.
func printable(text string) string {
	if strings.IndexFunc(text, isUnprintable) < 0 {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if isUnprintable(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func isUnprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
