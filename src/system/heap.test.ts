import { testHeap } from "../../test/lab/heap.ts";

testHeap(process.execPath);
