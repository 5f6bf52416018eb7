package main

import (
	"fmt"
	"os"
)

func main() {
	_, err := os.Stat("/usr/bin/go")
	fmt.Println("hello from two stages; go compiler here:", err == nil)
}
