package tap

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// printerSize is how many bytes of lines may wait to be printed.
const printerSize = 4 << 20

// Printer writes lines without letting anybody wait for their reader. Lines for which
// there is no room are counted, and told of in their place.
type Printer struct {
	out   io.Writer
	view  View
	lines *queue[[]byte]
	ended sync.WaitGroup
	err   error
}

// NewPrinter returns a Printer of the lines of a view. It must be closed.
func NewPrinter(out io.Writer, view View) *Printer {
	p := &Printer{out: out, view: view, lines: newQueue[[]byte](printerSize)}
	p.ended.Go(p.print)
	return p
}

// Print prints the line of an event, if it has one. It may be called concurrently.
func (p *Printer) Print(e *Event) {
	if line := p.view.Line(e); line != nil {
		p.lines.put(line, 0, len(line))
	}
}

// Close waits until what there is has been written, and returns the first error of
// writing.
func (p *Printer) Close() error {
	p.lines.close()
	p.ended.Wait()
	return p.err
}

func (p *Printer) print() {
	out := bufio.NewWriter(p.out) // keeps its first error
	for batch := p.lines.take(); batch != nil; batch = p.lines.take() {
		for _, next := range batch {
			if next.lost != nil {
				out.Write(p.view.Line(missedLines(next.lost.items)))
			} else {
				out.Write(next.item)
			}
		}
		p.err = out.Flush()
	}
}

func missedLines(lines int) *Event {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &Event{Time: now, Kind: KindMissed, Missed: &Missed{Lines: lines}}
}
