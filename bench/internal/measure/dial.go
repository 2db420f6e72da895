package measure

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// diallers is how many connections are opened, or closed, at once: enough to keep
// the cores busy, and fewer than any queue of half-open connections holds.
const diallers = 32

// dial opens connections, which close will close. Each makes one call, since some
// contenders connect only then.
func (s *session) dial(ctx context.Context, count int) error {
	conns := make([]contender.Conn, count)
	data := process.Payload(s.Cell.Size)
	check := process.CheckEcho(data)
	err := eachOf(count, func(i int) error {
		conn, err := s.contender.Dial(ctx, s.server.Address, s.Cell.settings())
		if err != nil {
			return err
		}
		conns[i] = conn
		return check(conn.Echo(ctx, data))
	})
	for _, conn := range conns {
		if conn != nil {
			s.conns = append(s.conns, conn)
		}
	}
	return err
}

// close closes the connections. What that yields says nothing of the figures.
func (s *session) close() {
	_ = eachOf(len(s.conns), func(i int) error {
		_ = s.conns[i].Close()
		return nil
	})
}

// eachOf does something for each index, a few at once, until one fails.
func eachOf(count int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range min(diallers, count) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
