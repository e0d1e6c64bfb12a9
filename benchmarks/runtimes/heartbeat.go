// A heartbeat beside busy goroutines, on one processor: `go run heartbeat.go HOGS SECONDS` prints how late each beat was, in ms.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

const beat = 5 * time.Millisecond

func hog(until time.Time, done chan<- int) {
	rounds := 0
	for time.Now().Before(until) {
		for i := 0; i < 1_000_000; i++ {
			rounds++
		}
	}
	done <- rounds
}

func main() {
	runtime.GOMAXPROCS(1)
	hogs, _ := strconv.Atoi(os.Args[1])
	seconds, _ := strconv.ParseFloat(os.Args[2], 64)
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	done := make(chan int)
	for i := 0; i < hogs; i++ {
		go hog(until, done)
	}
	for time.Now().Before(until) {
		began := time.Now()
		time.Sleep(beat)
		fmt.Println(float64(time.Since(began)-beat) / float64(time.Millisecond))
	}
	for i := 0; i < hogs; i++ {
		<-done
	}
}
