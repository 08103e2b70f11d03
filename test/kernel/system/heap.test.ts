/** The flags for V8 work on the Node in the image, too. */
import { testHeap } from "../../lab/heap.ts";
import { NODE24 } from "../../lab/node24.ts";

testHeap(NODE24);
