package console

import (
	"context"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Each duration is in the bucket whose bounds it lies between.
func TestBuckets(t *testing.T) {
	bounds := bucketBounds()
	for d := time.Duration(0); d < time.Hour; d += 1 + d/7 {
		i := bucketOf(d)
		micros := float64(d.Microseconds()) / 1000
		if micros < bounds[i] || i < len(bounds)-1 && micros >= bounds[i+1] {
			t.Errorf("%v is in bucket %d, which begins at %v ms", d, i, bounds[i])
		}
	}
	for i := 5; i < len(bounds); i++ {
		if wide := bounds[i] - bounds[i-1]; wide <= 0 || wide > bounds[i-1]/4+1e-9 {
			t.Errorf("bucket %d goes from %v to %v ms", i-1, bounds[i-1], bounds[i])
		}
	}
	if bucketOf(-1) != 0 {
		t.Error("a clock that went back has no bucket")
	}
}

// BenchmarkIntercept tells what counting alone costs, of calls of one action by all
// cores.
func BenchmarkIntercept(b *testing.B) {
	invoke := New().intercept(func(context.Context, *packetrpc.Call) error { return nil })
	call := &packetrpc.Call{Spec: &packetrpc.Spec{Action: "consoletest/Call"}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = invoke(context.Background(), call)
		}
	})
}
