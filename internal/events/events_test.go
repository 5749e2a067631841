package events

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func publish(b *Bus, from, to int) {
	for i := from; i < to; i++ {
		b.Publish(Event{Type: Image, Action: "tag", Actor: Actor{ID: fmt.Sprint(i)}})
	}
}

// TestPastAndFuture: the ring keeps the newest, in order, and no event is between past and future.
func TestPastAndFuture(t *testing.T) {
	for _, n := range []int{0, 1, Remembered - 1, Remembered, Remembered + 1, 3*Remembered + 7} {
		var b Bus
		publish(&b, 0, n)
		past, future, _ := b.Listen(t.Context())
		if want := min(n, Remembered); len(past) != want {
			t.Fatalf("after %d events %d are remembered, want %d", n, len(past), want)
		}
		publish(&b, n, n+3)
		for i := range 3 {
			past = append(past, <-future)
			if got := past[len(past)-1].Actor.ID; got != fmt.Sprint(n+i) {
				t.Errorf("after %d events the next is %s", n, got)
			}
		}
		first := max(0, n-Remembered)
		for i, e := range past {
			if e.Actor.ID != fmt.Sprint(first+i) || e.Time.IsZero() {
				t.Fatalf("after %d events, number %d is %+v", n, i, e)
			}
		}
	}
}

// TestSlowListener: one that does not read is cut off and holds up nobody.
func TestSlowListener(t *testing.T) {
	var b Bus
	_, slow, lost := b.Listen(t.Context())
	_, quick, fine := b.Listen(t.Context())
	for i := range waiting + 1 {
		publish(&b, i, i+1)
		<-quick
	}
	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Fatal("a listener that does not read is not cut off")
	}
	select {
	case <-fine:
		t.Fatal("a listener that reads is cut off")
	default:
	}
	if len(slow) != waiting {
		t.Errorf("%d events wait, want %d", len(slow), waiting)
	}
}

// TestListenEnds: a listener whose context ended is forgotten.
func TestListenEnds(t *testing.T) {
	var b Bus
	ctx, cancel := context.WithCancel(t.Context())
	b.Listen(ctx)
	cancel()
	for range 1000 {
		if b.Listeners() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the listener is still there")
}
